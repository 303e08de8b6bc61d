package rule

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseTargetPutsAHostIntoOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"example.org:443":                 "example.org:443",
		"EXAMPLE.Org:443":                 "example.org:443",
		"example.org.:443":                "example.org:443",
		"example.org":                     "example.org:80",
		"my_host:5000":                    "my_host:5000",
		"a-b.c--d.org:1":                  "a-b.c--d.org:1",
		"bücher.example:443":              "xn--bcher-kva.example:443",
		"BÜCHER.example:443":              "xn--bcher-kva.example:443",
		"bücher。example:443":              "xn--bcher-kva.example:443",
		"127.0.0.1:8080":                  "127.0.0.1:8080",
		"127.0.0.1.:8080":                 "127.0.0.1:8080",
		"１２７.0.0.1:80":                    "127.0.0.1:80",
		"[::1]:443":                       "[::1]:443",
		"[::1]":                           "[::1]:80",
		"::1":                             "[::1]:80",
		"[2001:DB8:0::1]:443":             "[2001:db8::1]:443",
		"[::ffff:10.0.0.1]:443":           "10.0.0.1:443",
		"[::ffff:a00:1]:443":              "10.0.0.1:443",
		"1.2.3.4.example.org:443":         "1.2.3.4.example.org:443",
		strings.Repeat("a", 63) + ".b:1":  strings.Repeat("a", 63) + ".b:1",
		"0x7f.example:1":                  "0x7f.example:1",
		"localhost:65535":                 "localhost:65535",
		"metadata.google.internal.:00080": "",
	} {
		got, err := ParseTarget(text, 80)
		if want == "" {
			if err == nil {
				t.Errorf("%q was taken for %s", text, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: got %s %v, want %s", text, got, err, want)
		}
	}
}

func TestParseTargetRefusesWhatHasTwoMeanings(t *testing.T) {
	for _, text := range []string{
		"", ":", ":443", "example.org:", "example.org:0", "example.org:65536", "example.org:+80", "example.org:080", "example.org:http",
		"example.org:443:443", "user@example.org:443", "user:pass@example.org:443", "example.org@evil.net:443", "http://example.org:443",
		"example.org/x:443", "example.org:443/x", "example.org:443?x", "example.org:443#x", `example.org\@evil.net:443`, "exam ple.org:443",
		" example.org:443", "example.org :443", "example.org\t:443", "example.org\x00.evil.net:443", "example.org\r\nX: y:443", "exa%6dple.org:443",
		".example.org:443", "example..org:443", "example.org..:443", "-a.org:443", "a-.org:443", strings.Repeat("a", 64) + ".org:443",
		strings.Repeat("a.", 130) + "org:443", strings.Repeat("ü", 600) + ":443",
		"127.1:80", "127.0.1:80", "2130706433:80", "0x7f.1:80", "0x7f000001:80", "0177.0.0.1:80", "127.0.0.01:80", "0.0.0.0x1:80", "256.0.0.1:80",
		"1.2.3.4.5:80", "127.0.0.1..:80", "１２７.1:80", "example.0x:80", "[::1:443", "::1]:443", "[::1]x:443", "[fe80::1%25eth0]:80", "[fe80::1%eth0]:80",
		"[127.0.0.1]:80", "[example.org]:80", "[]:80", "[::1]:", "::1:", "*.example.org:443", "*:443",
	} {
		if got, err := ParseTarget(text, 0); err == nil {
			t.Errorf("%q was taken for %s", text, got)
		}
	}
	if _, err := ParseTarget("example.org", 0); err == nil || err.Error() != "a port is needed" {
		t.Errorf("no port: %v", err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		match   []string
		not     []string
	}{
		{"example.org", []string{"example.org:443", "EXAMPLE.ORG.:80"}, []string{"a.example.org:443", "example.org.evil.net:443", "xample.org:1"}},
		{"example.org:443", []string{"example.org:443"}, []string{"example.org:80", "example.org:4430"}},
		{"Example.ORG.", []string{"example.org:1"}, nil},
		{"*.example.org", []string{"a.example.org:1", "a.b.example.org:443"}, []string{"example.org:443", "evilexample.org:443", "a.example.org.evil.net:1"}},
		{"*.example.org:443", []string{"a.example.org:443"}, []string{"a.example.org:80"}},
		{"*.bücher.example", []string{"a.xn--bcher-kva.example:1", "a.BÜCHER.example:1"}, []string{"a.bucher.example:1"}},
		{"10.0.0.1", []string{"10.0.0.1:1", "[::ffff:10.0.0.1]:1"}, []string{"10.0.0.10:1"}},
		{"[::1]:80", []string{"[0:0::1]:80"}, []string{"[::1]:81"}},
		{"::1", []string{"[::1]:9"}, []string{"[::2]:9"}},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		check := func(text string, want bool) {
			target, err := ParseTarget(text, 0)
			if err != nil || p.Match(target) != want {
				t.Errorf("%s and %s: want %v, %v", c.pattern, text, want, err)
			}
		}
		for _, text := range c.match {
			check(text, true)
		}
		for _, text := range c.not {
			check(text, false)
		}
	}
	for _, text := range []string{
		"", "*", "*.", "*:443", "a*.org", "*a.org", "*.*.org", "a.*", "**.org", "https://x.org", "x.org/", "10.0.0.0/8", "*.1.2.3.4", "*.[::1]",
		"x.org:*", "x.org:0", "x.org:", "x y.org", "127.1", "user@x.org", ".x.org", "*..org",
	} {
		if p, err := ParsePattern(text); err == nil {
			t.Errorf("%q was taken for %s", text, p)
		}
	}
}

func TestRules(t *testing.T) {
	target, err := ParseTarget("git.example.org:443", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode  string
		allow []string
		want  string
	}{
		{"", nil, ""},
		{Open, nil, ""},
		{None, nil, "m is none"},
		{Allowlist, nil, "no entry of a stands for it"},
		{Allowlist, []string{"example.org", "*.example.com"}, "no entry of a stands for it"},
		{Allowlist, []string{"example.org", "*.example.org:443"}, ""},
	} {
		r, err := New(c.mode, c.allow)
		if got := r.Check(target, "m", "a"); err != nil || got != c.want {
			t.Errorf("%s %v: got %q %v, want %q", c.mode, c.allow, got, err, c.want)
		}
	}
	for _, bad := range []struct {
		mode  string
		allow []string
	}{{"closed", nil}, {Allowlist, []string{"x.org", "*"}}} {
		if _, err := New(bad.mode, bad.allow); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestPublicKnowsEveryDisguise(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::a9fe:a9fe", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		"::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::",
		"2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
		"fec0::1", "ff02::1",
	} {
		if what, ok := Public(netip.MustParseAddr(text)); ok || what == "" {
			t.Errorf("%s is public", text)
		}
	}
	for _, text := range []string{"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700::1111", "2a00::1"} {
		if what, ok := Public(netip.MustParseAddr(text)); !ok {
			t.Errorf("%s is %s", text, what)
		}
	}
	if _, ok := Public(netip.Addr{}); ok {
		t.Error("no address is public")
	}
}

func TestPrivate(t *testing.T) {
	p, err := NewPrivate([]string{"10.0.0.0/8", "192.168.0.0/16:443", "172.16.0.1", "127.0.0.1:8080", "fd00::/8", "[fe80::/10]:80", "[::1]:9", "DB.internal.:5432"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, addr string
		want         bool
	}{
		{"x.org:1", "10.9.9.9", true},
		{"x.org:443", "192.168.1.1", true},
		{"x.org:80", "192.168.1.1", false},
		{"x.org:80", "172.16.0.1", true},
		{"x.org:80", "172.16.0.2", false},
		{"127.0.0.1:8080", "127.0.0.1", true},
		{"127.0.0.1:8081", "127.0.0.1", false},
		{"x.org:1", "fd00:ec2::254", true},
		{"x.org:80", "fe80::1", true},
		{"x.org:81", "fe80::1", false},
		{"x.org:9", "::1", true},
		{"db.internal:5432", "172.30.0.1", true},
		{"db.internal:5433", "172.30.0.1", false},
		{"x.db.internal:5432", "172.30.0.1", false},
	} {
		target, err := ParseTarget(c.target, 0)
		if got := p.Lists(target, netip.MustParseAddr(c.addr)); err != nil || got != c.want {
			t.Errorf("%s at %s: got %v %v", c.target, c.addr, got, err)
		}
	}
	for _, text := range []string{"", "db.internal", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/x", "::ffff:10.0.0.0/104", "10.0.0.0/8:0", "*.internal:80", "x y:1", "a/b:1"} {
		if err := CheckPrivate(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if _, err := NewPrivate([]string{"10.0.0.0/8", "x"}); err == nil || !strings.HasPrefix(err.Error(), "private[1]: ") {
		t.Errorf("got %v", err)
	}
}

// What was judged must be what is dialled: a target says itself again, and nothing in it could end a line or name two hosts.
func FuzzParseTarget(f *testing.F) {
	for _, text := range []string{"example.org:443", "[::1]:80", "127.1:80", "bücher.example:443", "a@b:1", "::ffff:1.2.3.4", "0x7f.1", "１２７.0.0.1:80", "a。b:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text, 80)
		if err != nil {
			return
		}
		again, err := ParseTarget(target.String(), 0)
		if err != nil || again != target {
			t.Fatalf("%q: %+v is read again as %+v, %v", text, target, again, err)
		}
		addr, err := netip.ParseAddr(target.Host)
		if (err == nil) != target.Addr.IsValid() || (err == nil && addr != target.Addr) || addr.Is4In6() {
			t.Fatalf("%q: %+v", text, target)
		}
		if !target.Addr.IsValid() && (strings.ToLower(target.Host) != target.Host || strings.ContainsAny(target.Host, "@/\\:%*[] \r\n\x00") ||
			strings.HasSuffix(target.Host, ".") || !ascii(target.Host) || len(target.Host) > 253) {
			t.Fatalf("%q: %+v", text, target)
		}
	})
}

// A pattern stands for what it says and for nothing beside it.
func FuzzPattern(f *testing.F) {
	f.Add("*.example.org:443", "a.example.org:443")
	f.Add("example.org", "EXAMPLE.org.:1")
	f.Add("[::1]:80", "[::1]:80")
	f.Add("10.0.0.1", "::ffff:10.0.0.1")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := ParsePattern(pattern)
		if err != nil {
			return
		}
		if again, err := ParsePattern(p.String()); err != nil || again != p {
			t.Fatalf("%q: %+v is read again as %+v, %v", pattern, p, again, err)
		}
		target, err := ParseTarget(text, 80)
		if err != nil {
			return
		}
		labels, of := strings.Split(target.Host, "."), strings.Split(p.Host, ".")
		want := target.Host == p.Host
		if p.Wild {
			want = !target.Addr.IsValid() && len(labels) > len(of) && slices.Equal(labels[len(labels)-len(of):], of)
		}
		want = want && (p.Port == 0 || p.Port == target.Port)
		if p.Match(target) != want {
			t.Fatalf("%s and %s: want %v", p, target, want)
		}
	})
}
