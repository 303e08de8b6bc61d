package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nobody is the ordinary user of TestAsOrdinaryUser.
const nobody = 65534

// TestAsOrdinaryUser runs most of this package's tests as a user who may do nothing special.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("this run is the one as an ordinary user")
		return
	}
	dir, err := os.MkdirTemp("", "agc-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// The user can't reach the folder in which go test has put the binary, nor what agentDir links to.
	copyTo(t, "/proc/self/exe", filepath.Join(dir, "local.test"))
	agent := filepath.Join(dir, "agent")
	if err := os.Mkdir(agent, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{agentServerFile, claudeFile} {
		copyTo(t, filepath.Join(agentDir, name), filepath.Join(agent, name))
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "local.test"), "-test.v", "-test.timeout", "5m", "-test.run",
		"^(TestSandboxWalls|TestVolumeOutlives.*|TestSandboxWithout.*|TestEndpoint.*|TestExited.*|TestProcessesAreLimited|TestFilesAreLimited|"+
			"TestAnOrdinaryUserIsToldWhatIsNotEnforced|TestNothingIsLeftOfAProviderThatWasKilled|TestClose.*|TestDestroy.*|TestHostSockets.*)$")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + tmp, "TMPDIR=" + tmp, "TEST_AGENT_DIR=" + agent}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSandboxWalls") || strings.Contains(string(out), "--- SKIP") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnOrdinaryUserIsToldWhatIsNotEnforced(t *testing.T) {
	if os.Geteuid() == 0 {
		return // TestAsOrdinaryUser runs this as one
	}
	box := create(t, newProvider(t, newPlace(t), nil), request("plain"))
	want := map[string]string{
		"memory": "not enforced: no cgroup access", "cpu": "not enforced: no cgroup access", "pids": "512 processes by rlimit",
		"disk": "not enforced: no quota on this filesystem",
	}
	if diff := cmp.Diff(want, box.Limits); diff != "" {
		t.Error(diff)
	}
}

// TestHostSocketsAreOutOfReach: a sandbox has a network of its own, so what listens on the host, by TCP, by an abstract name or by a
// path, does not answer in it.
func TestHostSocketsAreOutOfReach(t *testing.T) {
	pl := newPlace(t)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	abstract, err := net.Listen("unix", "@agcluster-test-"+pl.host)
	if err != nil {
		t.Fatal(err)
	}
	named, err := net.Listen("unix", filepath.Join(filepath.Dir(pl.data), "x.sock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []net.Listener{tcp, abstract, named} {
		defer func() { _ = l.Close() }()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				t.Errorf("somebody came through to %s", l.Addr())
				_ = conn.Close()
			}
		}()
	}
	_, port, err := net.SplitHostPort(tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	box := create(t, newProvider(t, pl, nil), request("alone"))
	script := `import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", ` + port + `)), (socket.AF_UNIX, "\0agcluster-test-` + pl.host + `"), (socket.AF_UNIX, "` + named.Addr().String() + `"),
                        (socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET6, ("2001:db8::1", 80))):
    try:
        s = socket.socket(family)
        s.settimeout(20)
        s.connect(address)
        print("connected to", address)
    except OSError as e:
        print(type(e).__name__)
`
	want := "ConnectionRefusedError\nConnectionRefusedError\nFileNotFoundError\nOSError\nOSError"
	if got, _ := inside(t, box, "python3 - <<'EOF'\n"+script+"EOF"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
