package egress

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The contract is what real clients make of it.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed; make test installs it")
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Config{Private: []string{plain.Listener.Addr().String(), secure.Listener.Addr().String()}})
	for name, c := range map[string]struct {
		args []string
		code int
		out  string
	}{
		"http":               {[]string{plain.URL}, 0, "fine 200"},
		"https":              {[]string{"--cacert", ca, secure.URL}, 0, "fine 200"},
		"https, no CA":       {[]string{secure.URL}, 60, " 000"},
		"http by a tunnel":   {[]string{"--proxytunnel", plain.URL}, 0, "fine 200"},
		"HTTP/1.0":           {[]string{"--http1.0", "--proxy1.0", r.server.URL, plain.URL}, 0, "fine 200"},
		"HTTP/1.0 tunnel":    {[]string{"--proxytunnel", "--proxy1.0", r.server.URL, plain.URL}, 0, "fine 200"},
		"a password for us":  {[]string{"--proxy-user", "a:b", plain.URL}, 0, "fine 200"},
		"two requests":       {[]string{plain.URL, plain.URL}, 0, "fine 200fine 200"},
		"a denied address":   {[]string{"http://169.254.169.254/latest/"}, 0, "AgCluster: denied: connection to 169.254.169.254:80: 169.254.169.254 is a link-local address, where clouds have their metadata, and egress.private does not list it\n 403"},
		"a denied tunnel":    {[]string{"https://169.254.169.254/"}, 56, " 000"},
		"a decimal address":  {[]string{"-g", "http://2852039166/latest/"}, 0, "403"}, // curl itself makes 169.254.169.254 of it
		"the upload is kept": {[]string{"-d", strings.Repeat("x", 5000), "-H", "Expect: 100-continue", plain.URL}, 0, "fine 200"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("curl", append([]string{"-sS", "--max-time", "30", "-w", " %{http_code}", "--proxy", r.server.URL}, c.args...)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, _ := cmd.Output()
			got := strings.ReplaceAll(string(out), "fine 200 ", "fine 200")
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.HasSuffix(got, c.out) {
				t.Errorf("exit %d, %q, %s", code, out, stderr.String())
			}
		})
	}
}
