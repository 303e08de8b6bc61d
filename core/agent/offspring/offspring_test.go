package offspring

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// start runs a shell that says one process id a line and waits, so that nothing has to be waited for.
func start(t *testing.T, mark Mark, attr *syscall.SysProcAttr, text string) (leader int, lines []string, wait func()) {
	t.Helper()
	cmd := exec.Command("bash", "-c", text+"; echo done; wait")
	cmd.Env = append(os.Environ(), mark.Env())
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buffer := make([]byte, 1024)
	for !strings.Contains(said.String(), "done") {
		n, err := out.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(buffer[:n])
	}
	return cmd.Process.Pid, strings.Fields(strings.TrimSuffix(strings.TrimSpace(said.String()), "done")), func() {
		_ = cmd.Wait() // it was killed
	}
}

// family is a child in the group, one in a session of its own, and one in the session whose environment is empty.
const family = `sleep 1000 >/dev/null & echo $!
setsid sleep 1000 >/dev/null & echo $!
set -m; env -i $(command -v sleep) 1000 >/dev/null & echo $!
until grep -q sleep /proc/$!/comm; do :; done`

func TestKillEndsTheFamilyAndNobodyElse(t *testing.T) {
	theirs := NewMark()
	other, others, waitOther := start(t, theirs, &syscall.SysProcAttr{Setsid: true}, family)
	mark := NewMark()
	leader, children, wait := start(t, mark, &syscall.SysProcAttr{Setsid: true}, family)
	if len(children) != 3 || len(others) != 3 {
		t.Fatalf("children %v and %v", children, others)
	}
	mark.Kill(leader)
	wait()
	// The last one left its group and its mark behind, but not its session.
	for i, want := range []bool{false, false, true} {
		if got := alive(children[i]); got != want {
			t.Errorf("child %d lives: %v", i, got)
		}
	}
	mark.KillSession(leader)
	if alive(children[2]) {
		t.Error("a child of the session lives")
	}
	for i, pid := range others {
		if !alive(pid) {
			t.Errorf("child %d of another family was killed", i)
		}
	}
	theirs.KillSession(other)
	waitOther()
}

// alive says whether a process runs, which one that nobody has waited for does not.
func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && !ended(n)
}
