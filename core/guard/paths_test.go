package guard

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"
)

// lines is a reading's accesses, one line each: the operation, the path, ? when it goes on, and ~ when it is a guess.
func lines(r reading) []string {
	var out []string
	for _, a := range r.accesses {
		line := a.Op + " " + a.Path
		if a.Unresolved {
			line += "?"
		}
		if a.Guess {
			line += "~"
		}
		out = append(out, line)
	}
	return out
}

func TestPathsOfFileTools(t *testing.T) {
	for _, c := range []struct {
		tool, input string
		want        []string
	}{
		{"Read", `{"file_path":"/etc/passwd"}`, []string{"read /etc/passwd"}},
		{"Read", `{"file_path":"a/../../../b"}`, []string{"read /b"}},
		{"Read", `{"file_path":"~/.claude/x"}`, []string{"read /home/agent/.claude/x"}},
		{"Read", `{"file_path":"/workspace/a\nb"}`, []string{"read /workspace/a\nb"}},
		{"Read", `{"file_path":"a","File_Path":"/etc/passwd"}`, []string{"read /workspace/sub/a"}},
		{"Read", `{"FILE_PATH":"/etc/passwd"}`, nil},
		{"Read", `{"file_path":["/etc/passwd"]}`, []string{"read /?"}},
		{"Read", `{"file_path":7}`, []string{"read /?"}},
		{"Read", `{}`, nil},
		{"Read", `{"file_path":null}`, nil},
		{"NotebookRead", `{"notebook_path":"n.ipynb"}`, []string{"read /workspace/sub/n.ipynb"}},
		{"Write", `{"file_path":"/x","content":"/etc/passwd"}`, []string{"write /x"}},
		{"Edit", `{"file_path":"/x"}`, []string{"write /x"}},
		{"MultiEdit", `{"file_path":"/x"}`, []string{"write /x"}},
		{"NotebookEdit", `{"notebook_path":"/x"}`, []string{"write /x"}},
		{"Grep", `{"pattern":"/etc/","path":"/etc"}`, []string{"read /etc"}},
		{"Grep", `{"pattern":"x"}`, nil},
		{"LS", `{"path":"/"}`, []string{"list /"}},
		{"Glob", `{"pattern":"**/*.go"}`, nil},
		{"Glob", `{"pattern":"*.go","path":"/usr/lib"}`, []string{"list /usr/lib"}},
		{"Glob", `{"pattern":"/etc/*"}`, []string{"list /etc"}},
		{"Glob", `{"pattern":"/etc/pass*"}`, []string{"list /etc"}},
		{"Glob", `{"pattern":"/etc/passwd"}`, []string{"list /etc/passwd"}},
		{"Glob", `{"pattern":"../../etc/*"}`, []string{"list /etc"}},
		{"Glob", `{"pattern":"*/../../../etc/*"}`, []string{"list /"}},
		{"Glob", `{"pattern":"~/*"}`, []string{"list /home/agent"}},
		{"Glob", `{"pattern":"../*","path":"/usr/lib"}`, []string{"list /usr/lib", "list /usr"}},
		{"Glob", `{"pattern":"src/*"}`, nil},
		{"Glob", `{"pattern":""}`, nil},
		{"Glob", `{"pattern":7}`, []string{"list /?"}},
		{"WebFetch", `{"url":"file:///etc/passwd"}`, nil},
		{"mcp__x__read", `{"file_path":"/etc/passwd"}`, nil},
	} {
		if got := lines(read(c.tool, json.RawMessage(c.input), "/workspace/sub")); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: got %q, want %q", c.tool, c.input, got, c.want)
		}
	}
}

func TestPathsOfCommands(t *testing.T) {
	for _, c := range []struct {
		command string
		want    []string
	}{
		{"ls", nil},
		{"ls src/*.go", []string{"read /workspace/src/*.go~"}},
		{"cat /etc/passwd", []string{"read /etc/passwd"}},
		{"cat '/etc/passwd' \"/etc/hosts\" /e\\tc/x", []string{"read /etc/passwd", "read /etc/hosts", "read /etc/x"}},
		{"cat /etc/pass''wd", []string{"read /etc/passwd"}},
		{"cat $'/etc/passwd'", []string{"read /etc/passwd"}},
		{"cat /etc//x/../passwd", []string{"read /etc/passwd"}},
		{"cat < /etc/passwd > /tmp/x 2>> /var/log/y", []string{"read /etc/passwd", "write /tmp/x", "write /var/log/y"}},
		{"echo x &> /root/x", []string{"write /root/x"}},
		{"echo x >&2", nil},
		{"cat <<'EOF'\n/etc/passwd\nEOF", nil},
		{"cat <<< /etc/passwd", nil},
		{"true; (cat /etc/a) | tee /etc/b && x=$(cat /etc/c)", []string{"read /etc/a", "read /etc/b", "read /etc/c"}},
		{"diff <(cat /etc/a) b", []string{"read /etc/a"}},
		{"for f in /etc/*.conf; do cat $f; done", []string{"read /etc/*.conf"}},
		{"if [[ -f /etc/x && $a == /etc/y ]]; then :; fi", []string{"read /etc/x", "read /etc/y"}},
		{"[[ $a =~ /etc/y ]]", nil},
		{"[ -f /etc/x ]", []string{"read /etc/x"}},
		{"cat ~/.ssh/id_rsa $HOME/x ~", []string{"read /home/agent/.ssh/id_rsa", "read /home/agent/x", "read /home/agent"}},
		{"cat $PWD/../x", []string{"read /x"}},
		{"cat /etc/$X /etc/${Y}z", []string{"read /etc?"}},
		{"cat $X/passwd", nil},
		{"cat ../x ./a/../../y a/..", []string{"read /x", "read /y", "read /workspace"}},
		{"curl -d @/etc/passwd --cert=/etc/x -o/etc/y dd if=/dev/sda", []string{"read /etc/passwd", "read /etc/x", "read /etc/y", "read /dev/sda"}},
		{"curl https://example.com/etc/passwd http://x//etc file:///etc/passwd", []string{"read /etc/passwd"}},
		{"sed '/pattern/d' /api/v1 -- '/etc is a folder'", nil},
		{"gcc -I/usr/include x.c", []string{"read /usr/include"}},
		{"ls /", []string{"read /"}},
		{"ls /etc /etc; cat /etc", []string{"read /etc"}},
		{"echo \"read /etc/passwd\"", nil},
		{"eval 'cat /etc/passwd'", nil}, // not read off: the sandbox is the boundary
		{"cd src && cat ../x", []string{"read /workspace/x"}},
		{"cd /usr/lib && cat ../x", []string{"read /usr/lib", "read /usr/x"}},
		{"(cd src); cat ../x", []string{"read /x"}},
		{"cd src; cd -; cat ../x", []string{"read /workspace/x"}},
		{"cd -P src; cat ../x", []string{"read /workspace/x"}},
		{"cd; cat ../x", []string{"read /home/x"}},
		{"cd \"$D\"; cat ../x", []string{"read /x"}},
		{"pushd src; cat ../x", []string{"read /workspace/x"}},
		{"f() { cd src; }; cat ../x", []string{"read /x"}},
		{"cat 'a\nb' $'\\x2fetc/passwd'", nil},
		{"cat '", []string{"read /?"}},
		{"if", []string{"read /?"}},
	} {
		if got := lines(read("Bash", command(t, c.command), "")); !slices.Equal(got, c.want) {
			t.Errorf("%s\n got %q\nwant %q", c.command, got, c.want)
		}
	}
}

func command(t testing.TB, s string) json.RawMessage {
	t.Helper()
	input, err := json.Marshal(map[string]string{"command": s})
	if err != nil {
		t.Fatal(err)
	}
	return input
}

func TestCommandsOfACall(t *testing.T) {
	for _, c := range []struct {
		input    string
		want     []string
		unparsed bool
	}{
		{`{"command":"git push origin main"}`, []string{"git push origin main"}, false},
		{`{"command":"a | b && c; d || (e)"}`, []string{"a", "b", "c", "d", "e"}, false},
		{`{"command":"echo $(rm -rf x) ` + "`id`" + `"}`, []string{"echo $(rm -rf x) $(id)", "rm -rf x", "id"}, false},
		{`{"command":"'r'm \"-rf\" \\x"}`, []string{"rm -rf x"}, false},
		{`{"command":"X=1 env; Y=2"}`, []string{"env"}, false},
		{`{"command":"if a; then b; else c; fi; while d; do e; done; f() { g; }"}`, []string{"a", "b", "c", "d", "e", "g"}, false},
		{`{"command":"$CMD x"}`, []string{"$CMD x"}, false},
		{`{"command":"ls","Command":"rm"}`, []string{"ls"}, false},
		{`{"command":"ls","command":"rm"}`, []string{"rm"}, false}, // as JavaScript reads it
		{`{"command":["rm"]}`, nil, true},
		{`{"command":"'"}`, nil, true},
		{`{}`, nil, false},
	} {
		r := read("Bash", json.RawMessage(c.input), "")
		if !slices.Equal(r.commands, c.want) || r.unparsed != c.unparsed {
			t.Errorf("%s: got %q, %v, want %q", c.input, r.commands, r.unparsed, c.want)
		}
	}
}

// TestHostileCommandsAreNotRead: a recursive parser on such a text would take all of the stack, which ends the process.
func TestHostileCommandsAreNotRead(t *testing.T) {
	for _, unit := range []string{"$(", "(", "((", "{ ", "${a:-", "\"$(", "$((", "a[", "<(", "@("} {
		for _, n := range []int{2000, 100_000} {
			if r := read("Bash", command(t, strings.Repeat(unit, n)), ""); !r.unparsed {
				t.Errorf("%s × %d was read", unit, n)
			}
		}
	}
	// What has no brackets is bounded by its length.
	for _, unit := range []string{"a|", "a&&", "if ", "! ", "time ", "a()", "if a;then b;el"} {
		read("Bash", command(t, strings.Repeat(unit, maxScript/len(unit))+"a"), "")
		if r := read("Bash", command(t, strings.Repeat(unit, maxScript/len(unit)+1)), ""); !r.unparsed {
			t.Errorf("%s: a script beyond the limit was read", unit)
		}
	}
	if r := read("Bash", command(t, "cat <<'EOF'\n"+strings.Repeat("for (i = 0; i < 10; i++) { a[i] = f(i); }\n", 1000)+"EOF"), ""); r.unparsed {
		t.Error("a long here-document with code must be read")
	}
}

func FuzzReadNeverPanics(f *testing.F) {
	for _, seed := range []string{
		`{"command":"cat /etc/passwd | tee ../x > ~/y; cd $(pwd) && [[ -f /a ]]"}`, `{"file_path":"../x"}`, `{"pattern":"../**/x","path":"~"}`,
		`{"command":"for f in /etc/*; do cat <<EOF\n$f\nEOF\ndone"}`, `{"command":"a=(1 2); ${a[@]:1:2} <(x) ((1+1)) $'\\x'"}`, `{"command":"f() { coproc { x; }; }; select x in y; do z; done"}`,
	} {
		for _, tool := range []string{"Bash", "Glob", "Read"} {
			f.Add(tool, []byte(seed), "/workspace")
		}
	}
	f.Fuzz(func(t *testing.T, tool string, input []byte, cwd string) {
		if !path.IsAbs(cwd) {
			cwd = ""
		}
		for _, a := range read(tool, input, cwd).accesses {
			if !path.IsAbs(a.Path) || path.Clean(a.Path) != a.Path {
				t.Errorf("%s %q: the path %q is not clean and absolute", tool, input, a.Path)
			}
		}
	})
}

func TestRedirectionsNameAPathWhateverItLooksLike(t *testing.T) {
	for _, c := range []struct {
		command string
		want    []string
	}{
		{"echo x > .git/hooks/pre-commit", []string{"write /workspace/.git/hooks/pre-commit"}},
		{"cat > .git/hooks/pre-commit <<'EOF'\n#!/bin/sh\nEOF", []string{"write /workspace/.git/hooks/pre-commit"}},
		{"echo x >> log", []string{"write /workspace/log"}},
		{"echo x >| log", []string{"write /workspace/log"}},
		{"echo x <> log", []string{"write /workspace/log"}},
		{"echo x &> log", []string{"write /workspace/log"}},
		{"echo x &>> log", []string{"write /workspace/log"}},
		{"echo x >& log", []string{"write /workspace/log"}},
		{"echo x 2> 'a b'", []string{"write /workspace/a b"}},
		{"echo x >&2 2>&1 3>&1- 2>&-", nil},
		{"cat < in <&3", []string{"read /workspace/in"}},
		{"> /api/v1", []string{"write /api/v1"}},
		{"> ~/x", []string{"write /home/agent/x"}},
		{"echo x > $OUT", nil},
		{"echo x > logs/$(date).txt", []string{"write /workspace/logs?"}},
		{"echo x > \"$PWD/a\"", []string{"write /workspace/a"}},
		{"echo x > a=/etc/b", []string{"write /workspace/a=/etc/b"}},
		{"echo x > https://example.org", []string{"write /workspace/https:/example.org"}},
		{"cat <<< .git/hooks/x", nil},
		// After a cd, as far as that is literal.
		{"cd .git && echo x > hooks/pre-commit", []string{"write /workspace/.git/hooks/pre-commit"}},
		{"cd sub; cd ..; > a", []string{"read /workspace", "write /workspace/a"}},
		{"(cd sub && > a); > b", []string{"write /workspace/sub/a", "write /workspace/b"}},
		{"cd sub > log", []string{"write /workspace/log"}},
		{"{ cd sub; > a; } > log", []string{"write /workspace/log", "write /workspace/sub/a"}},
		{"(cd sub; > a) > log; > b", []string{"write /workspace/log", "write /workspace/sub/a", "write /workspace/b"}},
		{"cd sub | cat; > a", []string{"write /workspace/a"}},
		{"true | cd sub; > a", []string{"write /workspace/a"}},
		{"true | { cd sub; > a; }; > b", []string{"write /workspace/sub/a", "write /workspace/b"}},
		{"cd sub & > a", []string{"write /workspace/a"}},
		{"x=$(cd sub; > a); > b", []string{"write /workspace/sub/a", "write /workspace/b"}},
		{"if cd sub; then > a; fi", []string{"write /workspace/sub/a"}},
		{"cd sub || exit; > a", []string{"write /workspace/sub/a"}},
		{"cd \"$D\" && > a", []string{"write /workspace/a"}},
	} {
		if got := lines(read("Bash", command(t, c.command), "")); !slices.Equal(got, c.want) {
			t.Errorf("%s\n got %q\nwant %q", c.command, got, c.want)
		}
	}
}

func TestWordsWithASlashAreGuesses(t *testing.T) {
	for _, c := range []struct {
		command string
		want    []string
	}{
		{"cp a .git/hooks/", []string{"read /workspace/.git/hooks~"}},
		{"cp a .git/hooks/pre-commit", []string{"read /workspace/.git/hooks/pre-commit~"}},
		{"tee ./.git/hooks/pre-commit", []string{"read /workspace/.git/hooks/pre-commit~"}},
		{"tee ./x/../.git/hooks/pre-commit", []string{"read /workspace/.git/hooks/pre-commit"}},
		{"tee '.git/hooks/pre-commit'", []string{"read /workspace/.git/hooks/pre-commit~"}},
		{"dd of=.git/hooks/x", []string{"read /workspace/.git/hooks/x~"}},
		{"install --target-directory=.git/hooks/ a", []string{"read /workspace/.git/hooks~"}},
		{"cd .git && cp a hooks/", []string{"read /workspace/.git/hooks~"}},
		{"cd .git/hooks && cp ../a .", []string{"read /workspace/.git/hooks~", "read /workspace/.git/a"}},
		{"[ -f .git/hooks/x ] && [[ -x .git/hooks/y ]]", []string{"read /workspace/.git/hooks/x~", "read /workspace/.git/hooks/y~"}},
		{"for f in .git/hooks/*; do cat $f; done", []string{"read /workspace/.git/hooks/*~"}},
		{"cat .git/hooks/$NAME", []string{"read /workspace/.git/hooks?~"}},
		{"bash -c 'cat a/b'", nil},
		{"git commit -m 'mend config/.env and a/b'", nil},
		{"echo \"see a/b\"", nil},
		{"sed s/a/b/ x; sed -e s/a/b/g -e 1,3s/a/b/ -e y/abc/xyz/ x", nil},
		{"curl https://example.org/a/b git+ssh://example.org/x", nil},
		{"go build -o=bin/x -ldflags -s/w ./cmd/x", []string{"read /workspace/bin/x~", "read /workspace/cmd/x~"}},
		{"cat $X/a/b", nil},
		{"git checkout feature/x; go test ./...; grep -r foo/bar src", []string{"read /workspace/feature/x~", "read /workspace/...~", "read /workspace/foo/bar~"}},
	} {
		if got := lines(read("Bash", command(t, c.command), "")); !slices.Equal(got, c.want) {
			t.Errorf("%s\n got %q\nwant %q", c.command, got, c.want)
		}
	}
}
