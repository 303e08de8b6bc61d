package baseline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// forest is a workspace of made-up files. Those without content are only facts.
type forest struct {
	dir    string
	files  map[string]*File
	hidden []string
	clock  int64
	opened int
}

var _ Tree = (*forest)(nil)

func newForest(t testing.TB) *forest {
	t.Helper()
	return &forest{dir: t.TempDir(), files: map[string]*File{}, clock: time.Now().Add(-time.Hour).UnixNano()}
}

// put makes a file, or writes another content to it.
func (f *forest) put(t testing.TB, path, content string) {
	t.Helper()
	at := filepath.Join(f.dir, strconv.Itoa(len(f.files)))
	if old := f.files[path]; old != nil {
		at = filepath.Join(f.dir, strconv.FormatUint(old.Inode, 10))
	}
	n, err := strconv.ParseUint(filepath.Base(at), 10, 64)
	if err := errors.Join(err, os.WriteFile(at, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
	f.clock += int64(time.Second)
	f.files[path] = &File{
		Path: path, Kind: agent.EntryFile, Size: int64(len(content)), Inode: n, Modified: f.clock, Changed: f.clock,
		Open: func() (*os.File, error) { f.opened++; return os.Open(at) },
	}
}

func (f *forest) Walk(ctx context.Context, fn func(*File) error) ([]string, error) {
	var paths []string
	for path := range f.files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := errors.Join(ctx.Err(), fn(f.files[path])); err != nil {
			return f.hidden, err
		}
	}
	return f.hidden, nil
}

func (f *forest) Find(path string, fn func(*File) error) error {
	if file := f.files[path]; file != nil {
		return fn(file)
	}
	return agent.ErrNotFound
}

func keeper(t testing.TB, dir string, tree Tree, budget int64) *Keeper {
	t.Helper()
	k := New(Config{Dir: dir, Budget: budget}, tree, zaptest.NewLogger(t))
	t.Cleanup(k.Close)
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// told is the list of what has changed: the first letter of the status, and the path.
func told(t testing.TB, k *Keeper, since string) string {
	t.Helper()
	list, err := k.List(t.Context(), since)
	must(t, err)
	var all []string
	for _, c := range list.Changes {
		all = append(all, string(c.Status[0])+" "+c.Raw())
	}
	return strings.Join(all, ", ")
}

func TestUnchangedFilesAreNotReadAgain(t *testing.T) {
	f := newForest(t)
	for i := range 100 {
		f.put(t, "f"+strconv.Itoa(i), "content "+strconv.Itoa(i))
	}
	dir := t.TempDir()
	k := keeper(t, dir, f, 1<<20)
	must(t, k.Launch(t.Context()))
	if f.opened != 100 {
		t.Errorf("%d files were read", f.opened)
	}
	stored := k.Stored()
	must(t, k.Launch(t.Context()))
	for n := range int64(5) {
		must(t, k.Turn(t.Context(), n+1))
	}
	must(t, k.Turn(t.Context(), 3))
	if got := told(t, k, "launch"); got != "" || f.opened != 100 {
		t.Errorf("%s; %d files were read", got, f.opened)
	}
	if grown := k.Stored() - stored; grown != 5*blockSize {
		t.Errorf("five turns without a change took %d bytes", grown)
	}
	// A file that was just written may be written again within the same tick: it is read once more.
	f.put(t, "f1", "another 1")
	f.files["f1"].Changed = time.Now().UnixNano()
	must(t, k.Turn(t.Context(), 6))
	opened := f.opened
	must(t, os.WriteFile(filepath.Join(f.dir, "1"), []byte("ANOTHER 1"), 0o600))
	if got := told(t, k, "turn"); got != "m f1" || f.opened == opened {
		t.Errorf("%q", got)
	}
}

func TestWhatWasReadIsComparedByContent(t *testing.T) {
	f := newForest(t)
	f.put(t, "touched", "same")
	f.put(t, "large", strings.Repeat("x", MaxText+1))
	f.put(t, ".git/index", "index")
	f.put(t, "fake/.gitignore", "text")
	k := keeper(t, t.TempDir(), f, 1<<20)
	must(t, k.Launch(t.Context()))
	if f.opened != 2 {
		t.Errorf("%d files were read", f.opened)
	}
	f.put(t, "touched", "same")
	f.put(t, "large", strings.Repeat("y", MaxText+1))
	f.put(t, ".git/index", "INDEX")
	if got := told(t, k, "launch"); got != "m large, m .git/index" {
		t.Error(got)
	}
	c, err := k.Show(t.Context(), ".git/index", "launch")
	if err != nil || !c.Truncated || c.Before != nil || string(c.After) != "INDEX" || c.Additions != nil {
		t.Errorf("%+v %v", c, err)
	}
}

func TestOverTheBudgetAChangeIsToldWithoutItsContent(t *testing.T) {
	f := newForest(t)
	for i := range 10 {
		f.put(t, "f"+strconv.Itoa(i), strings.Repeat(strconv.Itoa(i), 1000))
	}
	k := keeper(t, t.TempDir(), f, 5*(1000+headSize))
	must(t, k.Launch(t.Context()))
	for i := range 10 {
		f.put(t, "f"+strconv.Itoa(i), "new")
	}
	kept := 0
	for i := range 10 {
		c, err := k.Show(t.Context(), "f"+strconv.Itoa(i), "launch")
		if err != nil || c.Status != agent.Modified || string(c.After) != "new" || c.Truncated != (c.Before == nil) {
			t.Errorf("%+v %v", c, err)
		}
		if c.Before != nil {
			kept++
		}
	}
	if kept != 5 {
		t.Errorf("%d were kept", kept)
	}
	// Equal contents take no more room.
	g := newForest(t)
	for i := range 10 {
		g.put(t, "f"+strconv.Itoa(i), strings.Repeat("x", 1000))
	}
	k = keeper(t, t.TempDir(), g, 1000+headSize)
	must(t, k.Launch(t.Context()))
	if c, err := k.Show(t.Context(), "f9", "launch"); err != nil || len(c.Before) != 1000 || c.Status != agent.Unchanged {
		t.Errorf("%+v %v", c, err)
	}
}

func TestOldTurnsMakeRoomForNewOnes(t *testing.T) {
	f := newForest(t)
	f.put(t, "launched", "as launched\n")
	f.put(t, "f", "turn 0\n")
	const size = 1000
	dir := t.TempDir()
	k := keeper(t, dir, f, 20*(size+headSize))
	must(t, k.Launch(t.Context()))
	const turns = 100
	text := func(n int) string { return fmt.Sprintf("turn %d\n%s", n, strings.Repeat("x", size-10)) }
	for n := 1; n <= turns; n++ {
		must(t, k.Turn(t.Context(), int64(n)))
		f.put(t, "f", text(n))
		f.put(t, "made in "+strconv.Itoa(n), "")
	}
	f.put(t, "launched", "changed\n")
	for _, again := range []bool{false, true} {
		if again { // in another sandbox
			k = keeper(t, dir, f, 20*(size+headSize))
			must(t, k.Launch(t.Context()))
		}
		for since, before := range map[string]string{"launch": "turn 0\n", "turn": text(turns - 1), "turn:98": text(97)} {
			if c, err := k.Show(t.Context(), "f", since); err != nil || string(c.Before) != before {
				t.Errorf("again %v, since %s: %.20q %v", again, since, c.Before, err)
			}
		}
		if c, err := k.Show(t.Context(), "launched", "launch"); err != nil || string(c.Before) != "as launched\n" {
			t.Errorf("%+v %v", c, err)
		}
		if _, err := k.List(t.Context(), "turn:1"); !errors.Is(err, agent.ErrNotFound) || !strings.Contains(err.Error(), "not kept any more") {
			t.Errorf("%v", err)
		}
		if got := told(t, k, "turn:99"); got != "m f, m launched, a made in 100, a made in 99" {
			t.Error(got)
		}
		if list, err := k.List(t.Context(), "launch"); err != nil || list.Total != turns+2 {
			t.Errorf("%d changes, %v", list.Total, err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 25 {
		t.Errorf("%d files are kept, %v", len(names), err)
	}
	if k.Stored() > 20*(size+headSize)+25*blockSize {
		t.Errorf("%d bytes are kept", k.Stored())
	}
}

func TestATurnsBoundIsHeldWithoutContents(t *testing.T) {
	f := newForest(t)
	k := keeper(t, t.TempDir(), f, 1<<20)
	for n := range int64(maxMoments + 10) {
		must(t, k.Turn(t.Context(), n+1))
	}
	if n := len(k.now().moments); n > maxMoments+1 {
		t.Errorf("%d are kept", n)
	}
	if got := told(t, k, "turn:"+strconv.Itoa(maxMoments)); got != "" {
		t.Error(got)
	}
}

func TestAWorkspaceThatIsTooLargeIsComparedInPart(t *testing.T) {
	f := newForest(t)
	facts := func(i int, changed time.Time) *File {
		p := fmt.Sprintf("d/%07d", i)
		return &File{Path: p, Kind: agent.EntryOther, Inode: uint64(i), Modified: changed.UnixNano(), Changed: changed.UnixNano()}
	}
	old := time.Now().Add(-time.Hour)
	for i := range maxFiles + 10 {
		file := facts(i, old)
		f.files[file.Path] = file
	}
	k := keeper(t, t.TempDir(), f, 1<<20)
	must(t, k.Launch(t.Context()))
	list, err := k.List(t.Context(), "launch")
	if err != nil || list.Total != 0 || !list.Truncated {
		t.Errorf("%d changes, truncated %v, %v", list.Total, list.Truncated, err)
	}
	// What comes into sight because others are gone was there already, and is not told; what is made after is.
	for i := range 20 {
		delete(f.files, fmt.Sprintf("d/%07d", i))
	}
	made := facts(21, time.Now().Add(time.Second))
	made.Path = "a"
	f.files["a"] = made
	list, err = k.List(t.Context(), "launch")
	if err != nil || list.Total != 21 || !list.Truncated || list.Changes[0].Path != "a" || list.Changes[1].Status != agent.Deleted {
		t.Errorf("%d changes, truncated %v, %v", list.Total, list.Truncated, err)
	}
	must(t, k.Turn(t.Context(), 1))
	if list, err = k.List(t.Context(), "turn"); err != nil || list.Total != 0 {
		t.Errorf("%d changes, %v", list.Total, err)
	}
}

func TestALongListLeavesOutWhatToolsFill(t *testing.T) {
	f := newForest(t)
	k := keeper(t, t.TempDir(), f, 1<<20)
	must(t, k.Launch(t.Context()))
	for i := range agent.MaxChanges + 5 {
		p := fmt.Sprintf("a/node_modules/%d", i)
		f.files[p] = &File{Path: p, Kind: agent.EntrySymlink, Target: "x", Changed: f.clock}
	}
	f.put(t, "z", "1\n2\n")
	list, err := k.List(t.Context(), "launch")
	if err != nil || !list.Truncated || list.Total != agent.MaxChanges+6 || len(list.Changes) != agent.MaxChanges || list.Changes[0].Path != "z" ||
		*list.Changes[0].Additions != 2 {
		t.Errorf("%d of %d, truncated %v, %v", len(list.Changes), list.Total, list.Truncated, err)
	}
}

func TestWhatCanNotBeLookedIntoIsNotGone(t *testing.T) {
	f := newForest(t)
	f.put(t, "closed/f", "x")
	k := keeper(t, t.TempDir(), f, 1<<20)
	must(t, k.Launch(t.Context()))
	kept := f.files["closed/f"]
	delete(f.files, "closed/f")
	f.hidden = []string{"closed"}
	if list, err := k.List(t.Context(), "launch"); err != nil || list.Total != 0 || !list.Truncated {
		t.Errorf("%+v %v", list, err)
	}
	must(t, k.Turn(t.Context(), 1))
	f.files["closed/f"], f.hidden = kept, nil
	if got := told(t, k, "turn"); got != "" {
		t.Error(got)
	}
}

// TestAgentsMischief: whatever the agent puts in the folder, nothing hangs, nothing leads out, and what is wrong is not shown.
func TestAgentsMischief(t *testing.T) {
	for name, c := range map[string]struct {
		do func(dir string) error
		// launch is what has changed since the launch in another sandbox; before whether the content from before can be shown.
		launch string
		before bool
	}{
		"none":                     {func(string) error { return nil }, "m f, a g", true},
		"the folder is removed":    {os.RemoveAll, "", false},
		"the contents are removed": {func(dir string) error { return os.Remove(dir + "/contents") }, "m f, a g", false},
		"the contents are a pipe": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/contents"), syscall.Mkfifo(dir+"/contents", 0o600))
		}, "m f, a g", false},
		"the contents are a link out": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/contents"), os.Symlink("/etc/hostname", dir+"/contents"))
		}, "m f, a g", false},
		"the contents are others": {func(dir string) error {
			b, err := os.ReadFile(dir + "/contents")
			return errors.Join(err, os.WriteFile(dir+"/contents", []byte(strings.Replace(string(b), "before", "BEFORE", 1)), 0o600))
		}, "m f, a g", false},
		"the contents are cut": {func(dir string) error { return os.Truncate(dir+"/contents", headSize+3) }, "m f, a g", false},
		"the launch is a pipe": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/launch.jsonl"), syscall.Mkfifo(dir+"/launch.jsonl", 0o600))
		}, "", false},
		"the launch is a folder": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/launch.jsonl"), os.MkdirAll(dir+"/launch.jsonl/x", 0o700))
		}, "", false},
		"the launch is garbage": {func(dir string) error { return os.WriteFile(dir+"/launch.jsonl", []byte("{}\n{"), 0o600) }, "", false},
		"the turn is garbage":   {func(dir string) error { return os.WriteFile(dir+"/turn-1.jsonl", []byte("garbage"), 0o600) }, "m f, a g", true},
		"a turn from nowhere":   {func(dir string) error { return os.WriteFile(dir+"/turn-99999.jsonl", nil, 0o600) }, "m f, a g", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			f := newForest(t)
			f.put(t, "f", "before")
			k := keeper(t, dir, f, 1<<20)
			must(t, k.Launch(t.Context()))
			must(t, k.Turn(t.Context(), 1))
			f.put(t, "f", "after")
			f.put(t, "g", "new")
			must(t, c.do(dir))
			k = keeper(t, dir, f, 1<<20)
			must(t, k.Launch(t.Context()))
			must(t, k.Turn(t.Context(), 2))
			if got := told(t, k, "launch"); got != c.launch {
				t.Errorf("%q, want %q", got, c.launch)
			}
			show, err := k.Show(t.Context(), "f", "launch")
			if err != nil || (string(show.Before) == "before") != c.before || string(show.After) != "after" || c.launch != "" && show.Truncated == c.before {
				t.Errorf("%+v %v", show, err)
			}
			f.put(t, "g", "newer")
			if got := told(t, k, "turn"); got != "m g" {
				t.Errorf("since the turn: %q", got)
			}
		})
	}
}

func TestWithoutAFolderItLastsAsLongAsTheSandbox(t *testing.T) {
	f := newForest(t)
	f.put(t, "f", "before")
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	k := keeper(t, filepath.Join(file, "below"), f, 1<<20)
	if _, err := k.List(t.Context(), "launch"); !errors.Is(err, agent.ErrConflict) {
		t.Errorf("%v", err)
	}
	must(t, k.Launch(t.Context()))
	f.put(t, "f", "after")
	if c, err := k.Show(t.Context(), "f", "launch"); err != nil || c.Status != agent.Modified || !c.Truncated || string(c.After) != "after" {
		t.Errorf("%+v %v", c, err)
	}
}

func TestAMomentThatIsGivenUpIsNone(t *testing.T) {
	f := newForest(t)
	f.put(t, "f", "x")
	k := keeper(t, t.TempDir(), f, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Launch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	must(t, k.Launch(t.Context()))
	if got := told(t, k, "launch"); got != "" {
		t.Error(got)
	}
}

func TestLinesAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		before, after  string
		added, deleted int
	}{
		"nothing":                 {"", "", 0, 0},
		"all new":                 {"", "a\nb\n", 2, 0},
		"all gone":                {"a\nb", "", 0, 2},
		"one in the middle":       {"a\nb\nc\n", "a\nB\nc\n", 1, 1},
		"the last newline":        {"a\nb", "a\nb\n", 1, 1},
		"moved":                   {"a\nb\nc\nd\n", "b\nc\nd\na\n", 1, 1},
		"doubled":                 {"a\nb\n", "a\na\nb\nb\n", 2, 0},
		"all others":              {strings.Repeat("a\n", 9000), strings.Repeat("b\n", 9000), 9000, 9000},
		"too many to be searched": {strings.Repeat("a\nb\nb\n", 9000), "x\n" + strings.Repeat("b\na\na\n", 9000) + "y\n", 27002, 27000},
	} {
		if added, deleted := countLines([]byte(c.before), []byte(c.after)); added != c.added || deleted != c.deleted {
			t.Errorf("%s: +%d -%d, want +%d -%d", name, added, deleted, c.added, c.deleted)
		}
	}
	// Against the plain quadratic way.
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		text := func() []string {
			lines := make([]string, random.IntN(30))
			for i := range lines {
				lines[i] = strconv.Itoa(random.IntN(6)) + "\n"
			}
			return lines
		}
		a, b := text(), text()
		added, deleted := countLines([]byte(strings.Join(a, "")), []byte(strings.Join(b, "")))
		if same := longest(a, b); added != len(b)-same || deleted != len(a)-same {
			t.Errorf("%q %q: +%d -%d, want +%d -%d", a, b, added, deleted, len(b)-same, len(a)-same)
		}
	}
}

// longest is the length of the longest common subsequence.
func longest(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

func FuzzReadMoment(f *testing.F) {
	f.Add([]byte(`{"version":1,"turn":1,"began":1}` + "\n" + `{"p":"YQ==","k":"file","s":1}` + "\n" + `{"p":"Yg=="}`))
	f.Add([]byte(`{"version":1,"turn":1}` + "\n" + `{"p":"YQ==","k":"file","h":"AA=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "turn-1.jsonl"), b, 0o600))
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close() //nolint:errcheck // only read
		m, _, err := readMoment(root, "turn-1.jsonl", 1)
		if err == nil && m.turn != 1 {
			t.Errorf("turn %d", m.turn)
		}
		for path, r := range m.changed {
			if path == "" || r != nil && r.kind == "" {
				t.Errorf("%q: %+v", path, r)
			}
		}
	})
}
