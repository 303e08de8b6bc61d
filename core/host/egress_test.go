package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// outside is a server on an address of loopback that the sandbox does not take for its own (NO_PROXY has 127.0.0.1 only).
func outside(t *testing.T, handler http.Handler, secure bool, states ...func(net.Conn, http.ConnState)) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(handler)
	if err := srv.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	srv.Listener = l
	for _, state := range states {
		srv.Config.ConnState = state
	}
	if secure {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

// certificate is one that is its own CA, for the address of the outside.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "outside"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 2)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: secret}
}

func addr(s *httptest.Server) string { return s.Listener.Addr().String() }

// network is what is around a host: two servers it may dial, one it may not.
type network struct {
	plain, secure, closed *httptest.Server
	// reached counts the connections to secure.
	reached atomic.Int64
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{}
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	mux := http.NewServeMux()
	mux.Handle("/", says("hello from outside"))
	mux.Handle("/repo.git/", http.StripPrefix("/repo.git", http.FileServer(http.Dir(repository(t)))))
	n.plain, n.closed = outside(t, mux, false), outside(t, says("a secret place"), false)
	n.secure = outside(t, says("hello in secret"), true, func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			n.reached.Add(1)
		}
	})
	return n
}

func (n *network) private() string {
	return "AGCLUSTER_EGRESS_PRIVATE=" + addr(n.plain) + "," + addr(n.secure)
}

// repository is a bare git repository as a plain web server can offer it.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "work"},
		{"-C", "work", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "first of all"},
		{"clone", "-q", "--bare", "work", "repo.git"},
		{"-C", "repo.git", "update-server-info"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return filepath.Join(dir, "repo.git")
}

// fetching has the model call WebFetch, next to what it always does.
var fetching = strings.Replace(script, "rules:\n", `rules:
  - match: {user: '^fetch (\S+)$'}
    reply: [{tool: {name: WebFetch, input: {url: '{{index .Match 1}}', prompt: 'What does it say?'}}}]
`, 1)

func withNetwork(egress string, allow ...string) map[string]any {
	return inline(func(c map[string]any) {
		c["allowed_tools"] = []string{"Bash", "Read", "Write", "WebFetch"}
		if egress != "" {
			rule := map[string]any{"egress": egress}
			if len(allow) > 0 {
				rule["allow"] = allow
			}
			c["network"] = rule
		}
	})
}

// curl fetches without its progress and says how it ended.
func curl(args string) string {
	return "run: curl -sS --max-time 20 -w ' %{http_code}' " + args + " 2>&1; echo \" exit $?\""
}

// refused demands one denial of a connection in a turn.
func (x turn) refused(by, target, reason string) {
	x.t.Helper()
	v := x.denied("network.connect")
	if v.By != by || !strings.HasPrefix(v.Reason, "connection to "+target+": ") || !strings.Contains(v.Reason, reason) {
		x.t.Errorf("verdict %+v", v)
	}
}

func jobEgressIsTheWatchedWayOut(t *testing.T, on string) {
	n := newNetwork(t)
	r := newRig(t, options{on: on, script: fetching, env: []string{n.private()}})
	id := r.launch(withNetwork(""))
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.secure.TLS.Certificates[0].Certificate[0]}))
	r.turn(id, "write /workspace/ca.pem "+ca).ended(event.CompleteOK)
	for _, c := range []struct{ name, command, says string }{
		{"http", curl(n.plain.URL), "hello from outside 200 exit 0"},
		{"https", curl("--cacert ca.pem https://" + addr(n.secure)), "hello in secret 200 exit 0"},
		{"https without its CA", curl("https://" + addr(n.secure)), "exit 60"},
		{"git", "run: git clone -q " + n.plain.URL + "/repo.git repo && git -C repo log --format=%s", "first of all"},
		{"python", `run: python3 -c "import urllib.request as u; print(u.urlopen('` + n.plain.URL + `').read().decode())"`, "hello from outside"},
		// Past the proxy there is nothing: neither this machine's loopback nor a route.
		{"no proxy, loopback", curl("--noproxy '*' " + n.plain.URL), "000 exit 7"},
		{"no proxy, elsewhere", curl("--noproxy '*' http://192.0.2.1"), "000 exit 7"},
		{"no proxy, no resolver", curl("--noproxy '*' http://example.org"), "000 exit 6"},
	} {
		x := r.turn(id, c.command).ended(event.CompleteOK)
		if !strings.Contains(strings.Join(strings.Fields(x.text()), " "), c.says) {
			t.Errorf("%s: %q, want %q: %s", c.name, x.text(), c.says, describe(x.events))
		}
		if v := of[event.Verdict](x.events); len(v) > 0 {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	for _, c := range []struct{ name, args, target, reason string }{
		{"a private address", n.closed.URL, addr(n.closed), "127.0.0.2 is a loopback address"},
		{"a private address, tunnelled", "-p " + n.closed.URL, addr(n.closed), "127.0.0.2 is a loopback address"},
		{"metadata", "http://169.254.169.254/latest/meta-data/", "169.254.169.254:80", "metadata"},
		{"metadata, IPv6", "-g http://[fd00:ec2::254]/latest/", "[fd00:ec2::254]:80", "a private address"},
		{"the host's own API", "--noproxy '' " + r.url + "/health", strings.TrimPrefix(r.url, "http://"), "a loopback address"},
	} {
		x := r.turn(id, curl(c.args)).ended(event.CompleteOK)
		x.refused("host:egress", c.target, c.reason)
		if strings.Contains(x.text(), "a secret place") || !strings.Contains(x.text(), "403") {
			t.Errorf("%s: %s", c.name, x.text())
		}
	}
	var g gauges
	r.request(http.MethodGet, "/api/agents/"+id+"/resources", nil).into(t, 200, &g)
	if g.Network.Rx < 500 || g.Network.Tx < 500 || g.Network.Rx > 10<<20 {
		t.Errorf("what went through the proxy is measured as %+v", g.Network)
	}
	// A program that tries and tries is told of once.
	x := r.turn(id, "run: for i in 1 2 3 4 5; do curl -s "+n.closed.URL+"; done").ended(event.CompleteOK).says("AgCluster: denied: connection to " + addr(n.closed))
	if v := of[event.Verdict](x.events); len(v) != 1 {
		t.Errorf("%d verdicts: %s", len(v), describe(x.events))
	}
}

func jobEgressOfTheCLIItself(t *testing.T, on string) {
	n := newNetwork(t)
	r := newRig(t, options{on: on, script: fetching, env: []string{n.private()}})
	id := r.launch(withNetwork("open"))
	before := n.reached.Load()
	// Claude Code does not know the CA; that it shook hands with the server says which way it went.
	r.turn(id, "fetch https://"+addr(n.secure)+"/").ended(event.CompleteOK)
	if n.reached.Load() == before {
		t.Error("WebFetch did not reach the server")
	}
	r.turn(id, "fetch https://"+addr(n.closed)+"/").ended(event.CompleteOK).refused("host:egress", addr(n.closed), "a loopback address")
}

func jobEgressRulesOfASession(t *testing.T, on string) {
	n := newNetwork(t)
	r := newRig(t, options{on: on, script: fetching, env: []string{n.private()}})
	both := "run: curl -s " + n.plain.URL + "; curl -s -k https://" + addr(n.secure) + "; true"

	x := r.turn(r.launch(withNetwork("none")), both).ended(event.CompleteOK)
	x.refused("host:egress", addr(n.plain), "the session's network.egress is none")
	if len(of[event.Verdict](x.events)) != 2 || strings.Contains(x.text(), "hello") {
		t.Errorf("none: %s", describe(x.events))
	}

	x = r.turn(r.launch(withNetwork("allowlist", addr(n.secure))), both).ended(event.CompleteOK).says("hello in secret")
	x.refused("host:egress", addr(n.plain), "no entry of network.allow stands for it")
	if len(of[event.Verdict](x.events)) != 1 {
		t.Errorf("a list: %s", describe(x.events))
	}

	_, port, err := net.SplitHostPort(addr(n.plain))
	if err != nil {
		t.Fatal(err)
	}
	c := withNetwork("open")
	c["policies"] = []map[string]any{{"name": "network", "params": map[string]any{"deny": []string{"*:" + port}}}}
	x = r.turn(r.launch(c), both).ended(event.CompleteOK).says("hello in secret")
	x.refused("policy:network", addr(n.plain), "it is denied by the rule *:"+port)

	a := r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": withNetwork("allowlist", "a.example", "http://b.example")})
	if a.status != 422 || !strings.Contains(a.problem(), "network.allow[1]") || !strings.Contains(a.problem(), "not a URL") {
		t.Errorf("a list that is none: %v", a)
	}
}

func jobEgressRuleOfTheOperator(t *testing.T, on string) {
	n := newNetwork(t)
	r := newRig(t, options{on: on, script: fetching, env: []string{n.private(), "AGCLUSTER_EGRESS_MODE=allowlist", "AGCLUSTER_EGRESS_ALLOW=" + addr(n.plain)}})
	x := r.turn(r.launch(withNetwork("allowlist", "127.0.0.2")), "run: curl -s "+n.plain.URL+"; curl -s -k https://"+addr(n.secure)+"; true").
		ended(event.CompleteOK).says("hello from outside")
	x.refused("host:egress", addr(n.secure), "the operator's no entry of egress.allow stands for it")
}
