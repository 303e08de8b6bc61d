package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/agcluster/agcluster/core/event"
)

func TestHTTPAndHTTPSPass(t *testing.T) {
	r := newRig(t, Config{})
	answer := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		fmt.Fprintf(w, "%s %s %s %d", q.Method, q.Host, q.RequestURI, len(b))
	})
	plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	c := r.client(&tls.Config{RootCAs: roots})
	const odd = "/a%2Fb/../c?q=1;2&%zz"
	for _, base := range []string{plain.URL, secure.URL} {
		host := strings.SplitN(base, "://", 2)[1]
		res, err := c.Post(base+odd, "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if got, want := body(t, res, err), "200 POST "+host+" "+odd+" 100000"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if s := r.handler.Stats(); s.Out < 200_000 || s.In < 100 || s.Out > 300_000 {
		t.Errorf("counted %+v", s)
	}
	want := []Connection{
		{Host: "127.0.0.1", Scheme: "http", Method: "POST", Address: "127.0.0.1"}, {Host: "127.0.0.1", Scheme: "connect", Address: "127.0.0.1"},
	}
	got := r.connections()
	for i := range got {
		if got[i].Port == 0 {
			t.Error("no port")
		}
		got[i].Port = 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("judged %+v", got)
	}
	if v := r.verdicts(); len(v) != 0 {
		t.Errorf("recorded %+v", v)
	}
}

func TestHeadersOfTheHopStayBehind(t *testing.T) {
	r := newRig(t, Config{})
	heads := make(chan string, 1)
	addr := serve(t, func(c *net.TCPConn) {
		head := make([]byte, 4096)
		n, _ := c.Read(head)
		heads <- string(head[:n])
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok")
	})
	conn, in := r.raw()
	send(t, conn, "GET http://"+addr+"/x HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n"+
		"Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\nAuthorization: Bearer mine\r\nX-End: 1\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if got := body(t, res, err); got != "200 ok" {
		t.Error(got)
	}
	head := <-heads
	for _, gone := range []string{"Proxy-", "secret", "X-Mine", "Keep-Alive", "TE:", "Te:", "other.example", "X-Forwarded", "User-Agent", "Via"} {
		if strings.Contains(head, gone) {
			t.Errorf("%s went on:\n%s", gone, head)
		}
	}
	for _, kept := range []string{"GET /x HTTP/1.1\r\n", "Host: " + addr + "\r\n", "Authorization: Bearer mine", "X-End: 1"} {
		if !strings.Contains(head, kept) {
			t.Errorf("%q is missing:\n%s", kept, head)
		}
	}
	if res.Header.Get("X-Hop")+res.Header.Get("Proxy-Authenticate")+res.Header.Get("Keep-Alive") != "" || res.Header.Get("X-End") != "1" {
		t.Errorf("came back: %v", res.Header)
	}
}

func TestWhatIsNoRequestToAProxy(t *testing.T) {
	r := newRig(t, Config{})
	for head, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n":                           "this is a proxy",
		"GET https://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n":        "use CONNECT",
		"GET ftp://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n":          "use CONNECT",
		"GET file:///etc/passwd HTTP/1.1\r\nHost: example.org\r\n\r\n":          "use CONNECT",
		"GET http:example.org HTTP/1.1\r\nHost: example.org\r\n\r\n":            "no host",
		"GET http:///x HTTP/1.1\r\nHost: example.org\r\n\r\n":                   "no host",
		"GET http://u:p@example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n":     "Authorization",
		"GET http://127.1/ HTTP/1.1\r\nHost: example.org\r\n\r\n":               "four decimal numbers",
		"GET http://0x7f.1/ HTTP/1.1\r\nHost: example.org\r\n\r\n":              "four decimal numbers",
		"GET http://example.org:0/ HTTP/1.1\r\nHost: example.org\r\n\r\n":       "is no number from 1",
		"CONNECT example.org HTTP/1.1\r\nHost: example.org\r\n\r\n":             "a port is needed",
		"CONNECT u@example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n":       "is no host name",
		"CONNECT example.org:443/x HTTP/1.1\r\nHost: example.org\r\n\r\n":       "is no number from 1",
		"CONNECT 2130706433:80 HTTP/1.1\r\nHost: example.org\r\n\r\n":           "four decimal numbers",
		"CONNECT example..org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n":         "is no host name",
		"CONNECT /x HTTP/1.1\r\nHost: example.org\r\n\r\n":                      "is no host name",
		"CONNECT [fe80::1%25lo]:80 HTTP/1.1\r\nHost: example.org\r\n\r\n":       "is no IPv6 address",
		"CONNECT ex%61mple.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n":        "", // net/http refuses it before us
		"GET http://example.org\\@x.net/ HTTP/1.1\r\nHost: example.org\r\n\r\n": "",
	} {
		status, text := r.ask(head)
		if status != 400 || !strings.Contains(text, want) {
			t.Errorf("%q: %d %s", head, status, text)
		}
	}
	if len(r.names.asked)+len(r.connections())+len(r.verdicts()) != 0 {
		t.Errorf("resolved %v, judged %v", r.names.asked, r.connections())
	}
}

func TestDenials(t *testing.T) {
	for name, c := range map[string]struct {
		cfg      Config
		mode     string
		allow    []string
		known    map[string][]string
		judge    error
		host     string
		by       string
		reason   string
		resolved bool
	}{
		"the operator's none": {cfg: Config{Mode: "none"}, by: byHost, reason: "the operator's egress.mode is none"},
		"the operator's list": {cfg: Config{Mode: "allowlist", Allow: []string{"example.com"}}, by: byHost, reason: "the operator's no entry of egress.allow stands for it"},
		"the session's none":  {mode: "none", by: byHost, reason: "the session's network.egress is none"},
		"the session's list":  {mode: "allowlist", allow: []string{"*.example.org"}, by: byHost, reason: "the session's no entry of network.allow stands for it"},
		"a session can't widen": {
			cfg: Config{Mode: "allowlist", Allow: []string{"example.com"}}, mode: "allowlist", allow: []string{"example.org"},
			by: byHost, reason: "the operator's no entry of egress.allow stands for it",
		},
		"a policy":             {judge: policyError{"not that"}, by: "policy:network", reason: "not that"},
		"a private address":    {known: map[string][]string{"example.org": {"10.1.2.3"}}, by: byHost, reason: "10.1.2.3 is a private address, and egress.private does not list it", resolved: true},
		"one private of many":  {known: map[string][]string{"example.org": {"127.0.0.1", "8.8.8.8", "10.1.2.3"}}, by: byHost, reason: "10.1.2.3 is a private address, and egress.private does not list it", resolved: true},
		"metadata by name":     {known: map[string][]string{"example.org": {"169.254.169.254"}}, by: byHost, reason: "169.254.169.254 is a link-local address, where clouds have their metadata, and egress.private does not list it", resolved: true},
		"a mapped address":     {known: map[string][]string{"example.org": {"::ffff:10.1.2.3"}}, by: byHost, reason: "10.1.2.3 is a private address, and egress.private does not list it", resolved: true},
		"NAT64 of loopback":    {known: map[string][]string{"example.org": {"64:ff9b::7f00:1"}}, by: byHost, reason: "64:ff9b::7f00:1 is a NAT64 form of a loopback address, and egress.private does not list it", resolved: true},
		"metadata by address":  {host: "169.254.169.254", by: byHost, reason: "169.254.169.254 is a link-local address, where clouds have their metadata, and egress.private does not list it"},
		"metadata, IPv6":       {host: "[fd00:ec2::254]", by: byHost, reason: "fd00:ec2::254 is a private address, and egress.private does not list it"},
		"metadata, mapped":     {host: "[::ffff:169.254.169.254]", by: byHost, reason: "169.254.169.254 is a link-local address, where clouds have their metadata, and egress.private does not list it"},
		"loopback not listed":  {cfg: Config{Private: []string{}}, host: "127.0.0.1", by: byHost, reason: "127.0.0.1 is a loopback address, and egress.private does not list it"},
		"loopback, other port": {cfg: Config{Private: []string{"127.0.0.1:81"}}, host: "127.0.0.1", by: byHost, reason: "127.0.0.1 is a loopback address, and egress.private does not list it"},
		"nowhere":              {host: "0.0.0.0", by: byHost, reason: "0.0.0.0 is the unspecified address, and egress.private does not list it"},
		"this machine's own":   {host: "8.8.4.4", by: byHost, reason: "8.8.4.4 is an address of the host's machine, and egress.private does not list it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			r.handler.proxy.own = func() ([]net.Addr, error) {
				return []net.Addr{&net.IPNet{IP: net.IPv4(8, 8, 4, 4), Mask: net.CIDRMask(24, 32)}}, nil
			}
			r.mode, r.allow, r.names.known = c.mode, c.allow, c.known
			if c.judge != nil {
				r.judge = func(Connection) error { return c.judge }
			}
			host := c.host
			if host == "" {
				host = "example.org"
			}
			for _, head := range []string{"CONNECT " + host + ":80 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://" + host + "/ HTTP/1.1\r\nHost: x\r\n\r\n"} {
				shown := strings.Replace(host, "[::ffff:169.254.169.254]", "169.254.169.254", 1)
				status, text := r.ask(head)
				want := "connection to " + shown + ":80: " + c.reason
				if status != 403 || text != "AgCluster: denied: "+want+"\n" {
					t.Errorf("%q: %d %s", head, status, text)
				}
				// The same target and reason a second time is not recorded again.
				if got := r.verdicts(); len(got) != 1 || got[0] != (event.Verdict{Gate: "network.connect", Decision: "deny", By: c.by, Reason: want}) {
					t.Errorf("recorded %+v, want %s", got, want)
				}
			}
			if (len(r.names.asked) > 0) != c.resolved {
				t.Errorf("resolved %v", r.names.asked)
			}
			if s := r.handler.Stats(); s.Open != 0 || s.Out != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestAllowedHostsPass(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, q.Host) }))
	defer srv.Close()
	p := port(t, srv.Listener.Addr().String())
	for name, c := range map[string]struct {
		cfg   Config
		mode  string
		allow []string
		host  string
	}{
		"both open":          {host: "x.example.org"},
		"both lists":         {Config{Mode: "allowlist", Allow: []string{"*.example.org"}}, "allowlist", []string{"x.example.org:" + p}, "x.example.org"},
		"in capitals":        {Config{}, "allowlist", []string{"x.example.org"}, "X.Example.ORG."},
		"a listed host":      {Config{Private: []string{"x.example.org:" + p}}, "", nil, "x.example.org"},
		"the second address": {Config{}, "", nil, "two.example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			r.mode, r.allow = c.mode, c.allow
			r.names.known = map[string][]string{"x.example.org": {"127.0.0.1"}, "two.example.org": {"::1", "127.0.0.1"}}
			res, err := r.client(nil).Get("http://" + c.host + ":" + p)
			if got, want := body(t, res, err), "200 "+strings.ToLower(strings.TrimSuffix(c.host, "."))+":"+p; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// A name that answers otherwise the second time has nobody who asks it.
func TestANameIsResolvedOnceForAConnection(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	defer srv.Close()
	r := newRig(t, Config{})
	r.names.known = map[string][]string{"a.example": {"127.0.0.1"}}
	r.judge = func(Connection) error { return nil }
	p := port(t, srv.Listener.Addr().String())
	res, err := r.client(nil).Get("http://a.example:" + p)
	if got := body(t, res, err); got != "200 ok" {
		t.Error(got)
	}
	if !slices.Equal(r.names.asked, []string{"a.example."}) {
		t.Errorf("asked %v", r.names.asked)
	}
	r.names.known = map[string][]string{"a.example": {"169.254.169.254"}}
	res, err = r.client(nil).Get("http://a.example:" + p)
	if got := body(t, res, err); !strings.HasPrefix(got, "403 ") {
		t.Errorf("an earlier answer counts for a later connection: %s", got)
	}
}

func TestEveryPlainRequestIsJudged(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	defer srv.Close()
	r := newRig(t, Config{})
	r.judge = func(c Connection) error {
		if c.Method == "DELETE" {
			return policyError{"no deletions"}
		}
		return nil
	}
	c := r.client(nil)
	for _, step := range []struct{ method, want string }{
		{"GET", "200 ok"}, {"DELETE", "403 AgCluster: denied: connection to " + srv.Listener.Addr().String() + ": no deletions\n"}, {"GET", "200 ok"},
	} {
		req, err := http.NewRequest(step.method, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if got := body(t, res, err); got != step.want {
			t.Errorf("%s: %s", step.method, got)
		}
	}
	if len(r.connections()) != 3 {
		t.Errorf("judged %v", r.connections())
	}
}

func TestDenialsDoNotFloodTheLog(t *testing.T) {
	r := newRig(t, Config{Mode: "none"})
	for range 3 {
		for i := range maxDenials + 20 {
			if status, _ := r.ask(fmt.Sprintf("CONNECT h%d.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", i)); status != 403 {
				t.Fatal(status)
			}
		}
	}
	got := r.verdicts()
	if len(got) != maxDenials || !strings.HasSuffix(got[maxDenials-1].Reason, "(denial 64 of this turn: further ones are not recorded)") {
		t.Errorf("recorded %d, the last: %+v", len(got), got[len(got)-1])
	}
	r.turn = 2
	r.ask("CONNECT h1.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
	if len(r.verdicts()) != maxDenials+1 {
		t.Error("a new turn's denial is not recorded")
	}
}

func TestADenialThatCanNotBeRecordedIsOneAndIsToldNextTime(t *testing.T) {
	r := newRig(t, Config{Mode: "none"})
	r.recordErr = errDisk
	for want := 1; want <= 2; want++ {
		if status, _ := r.ask("CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"); status != 403 {
			t.Error(status)
		}
		if got := len(r.verdicts()); got != want {
			t.Errorf("tried %d times, want %d", got, want)
		}
	}
}

func TestFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	nonsense := serve(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
	})
	for name, c := range map[string]struct {
		head   string
		hang   bool
		judge  error
		status int
		text   string
	}{
		"nobody listens":        {head: "CONNECT " + closed.Addr().String(), status: 502, text: "can't be reached: connect: connection refused"},
		"no such name":          {head: "CONNECT nobody.example:443", status: 502, text: "nobody.example:443 can't be reached: no such host"},
		"a resolver that hangs": {head: "CONNECT a.example:443", hang: true, status: 504, text: "a.example:443 did not answer in time"},
		"no HTTP":               {head: "GET http://" + nonsense + "/", status: 502, text: "gave no proper answer"},
		"a gate that fails":     {head: "CONNECT a.example:443", judge: errDisk, status: 503, text: "can't be judged now"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{DialTimeout: 200 * time.Millisecond})
			r.names.hang = c.hang
			r.judge = func(Connection) error { return c.judge }
			status, text := r.ask(c.head + " HTTP/1.1\r\nHost: x\r\n\r\n")
			if status != c.status || !strings.Contains(text, c.text) || strings.Contains(text, "disk") {
				t.Errorf("%d %s", status, text)
			}
			if s := r.handler.Stats(); s.Open != 0 {
				t.Errorf("%+v", s)
			}
			if v := r.verdicts(); len(v) != 0 {
				t.Errorf("recorded %+v", v)
			}
		})
	}
}

func TestBadConfiguration(t *testing.T) {
	for _, c := range []Config{{Mode: "closed"}, {Mode: "allowlist", Allow: []string{"*"}}, {Private: []string{"x"}}} {
		if _, err := New(c, net.DefaultResolver, nil); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestStreamsAreNotHeldBack(t *testing.T) {
	next := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-q.Context().Done():
				return
			}
		}
	}))
	defer srv.Close()
	r := newRig(t, Config{})
	res, err := r.client(nil).Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for i := range 3 {
		got := make([]byte, 9)
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != fmt.Sprintf("data: %d\n\n", i) {
			t.Fatalf("%q %v", got, err)
		}
		next <- struct{}{}
	}
}

func TestWebSocketsPass(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		ws, err := websocket.Accept(w, q, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = ws.CloseNow() }()
		for {
			kind, b, err := ws.Read(q.Context())
			if err != nil {
				return
			}
			if err := ws.Write(q.Context(), kind, append([]byte("echo "), b...)); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	r := newRig(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, srv.URL, &websocket.DialOptions{HTTPClient: r.client(nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	if got := r.connections(); len(got) != 1 || got[0].Scheme != "http" {
		t.Errorf("judged %+v", got)
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := ws.Read(ctx); err != nil || string(b) != "echo hi" {
		t.Errorf("%q %v", b, err)
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	eventually(t, "the connection is counted out", func() bool { return r.handler.Stats().Open == 0 })
}
