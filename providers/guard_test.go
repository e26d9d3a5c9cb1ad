package providers

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for _, c := range []struct {
		list   string
		public bool
	}{
		{"8.8.8.8 1.1.1.1 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.167.0.1 198.17.0.1 223.255.255.255 169.253.0.1", true},
		{"2606:4700::1111 2a00:1450::1 64:ff9b::8.8.8.8 ::ffff:8.8.8.8 2001:4860:4860::8888", true},
		{"127.0.0.1 127.255.255.254 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 " +
			"100.127.255.255", false},
		{"192.0.0.1 192.0.0.170 192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 " +
			"192.88.99.1", false},
		{"::1 :: ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe", false},
		{"64:ff9b:1::1 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 " +
			"100::1 5f00::1", false},
	} {
		for _, text := range strings.Fields(c.list) {
			if got := public(netip.MustParseAddr(text)); got != c.public {
				t.Errorf("%s: public is %t", text, got)
			}
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
	for _, address := range []string{"localhost:80", "1.2.3.4", "", "[::1]:80", "127.0.0.1:1"} {
		if guard("tcp", address, nil) == nil {
			t.Errorf("%q was let through", address)
		}
	}
	if err := guard("tcp", "[2606:4700::1111]:443", nil); err != nil {
		t.Error(err)
	}
}

func TestBaseURLThatLeadsInsideIsRefused(t *testing.T) {
	const (
		both    = "both"
		private = "private"
		none    = "none"
	)
	for raw, want := range map[string]string{
		"https://api.openai.com/v1":               both,
		"https://api.openai.com":                  both,
		"https://x--1_2.example.com:8443/a/b-c.d": both,
		"https://8.8.8.8/v1":                      both,
		"https://[2606:4700::1111]:8443/v1":       both,
		"https://xn--bcher-kva.example/v1":        both,

		"http://api.openai.com/v1":         private,
		"http://127.0.0.1:8080/v1":         private,
		"https://127.0.0.1/v1":             private,
		"https://localhost/v1":             private,
		"https://a.localhost/v1":           private,
		"https://vllm/v1":                  private,
		"http://ollama:11434/v1":           private,
		"https://metadata.internal/":       none,
		"https://metadata.google.internal": private,
		"https://printer.local/v1":         private,
		"https://169.254.169.254/latest":   private,
		"https://100.64.0.1/v1":            private,
		"https://[::1]/v1":                 private,
		"https://[::ffff:127.0.0.1]/v1":    private,
		"https://[64:ff9b::7f00:1]/v1":     private,
		"https://0.0.0.0/v1":               private,

		"":                                none,
		"api.openai.com/v1":               none,
		"//api.openai.com/v1":             none,
		"ftp://api.openai.com/v1":         none,
		"HTTPS//api":                      none,
		"https://":                        none,
		"https:///v1":                     none,
		"https:api.openai.com":            none,
		"https://127.1/v1":                none,
		"https://2130706433/v1":           none,
		"https://0x7f.0.0.1/v1":           none,
		"https://0x7f000001":              none,
		"https://017700000001/v1":         none,
		"https://0177.0.0.1/v1":           none,
		"https://127.0.0.1./v1":           none,
		"https://example.com./v1":         none,
		"https://a.0x1/v1":                none,
		"https://①②⑦.⓪.⓪.①/v1":            none,
		"https://127。0。0。1/v1":            none,
		"https://bücher.example/v1":       none,
		"https://x@127.0.0.1/v1":          none,
		"https://a:b@api.openai.com/v1":   none,
		"https://@api.openai.com/v1":      none,
		"https://api.openai.com/v1?x=y":   none,
		"https://api.openai.com/v1?":      none,
		"https://api.openai.com/v1#x":     none,
		"https://api.openai.com/v1#":      none,
		"https://api.openai.com/v1/":      none,
		"https://api.openai.com/":         none,
		"https://api.openai.com/../v1":    none,
		"https://api.openai.com/v1/..":    none,
		"https://api.openai.com/./v1":     none,
		"https://api.openai.com//v1":      none,
		"https://api.openai.com/%2e%2e/":  none,
		"https://api%2eopenai.com/v1":     none,
		"https://api.openai.com\\@x/v1":   none,
		"https://api.openai.com/v 1":      none,
		"https://api.openai.com/v1\n":     none,
		"https://api.openai.com:0/v1":     none,
		"https://api.openai.com:/v1":      none,
		"https://api.openai.com:99999/v1": none,
		"https://a..b/v1":                 none,
		"https://[fe80::1%25eth0]/v1":     none,
		"https://[::1/v1":                 none,
		"https://exa$mple.com/v1":         none,
	} {
		if err := ValidateBaseURL(raw); (err == nil) != (want == both) {
			t.Errorf("%q as a public URL: %v", raw, err)
		} else if err != nil && strings.Contains(raw, "a:b@") && strings.Contains(err.Error(), "a:b") {
			t.Errorf("the error repeats the password: %v", err)
		}
		if err := ValidatePrivateURL(raw); (err == nil) != (want != none) {
			t.Errorf("%q as a private URL: %v", raw, err)
		}
	}
}

// A model's name cannot lead a call outside its base URL.
func TestCallPathStaysBelowTheBaseURL(t *testing.T) {
	for path, ok := range map[string]bool{
		"/chat/completions":                              true,
		"/deployments/gpt-4.1/chat?api-version=2024-1":   true,
		"/models/gemini-2:streamGenerateContent?alt=sse": true,
		"/model/arn%3Aaws%3Ax%2Fy/converse":              true,
		"/models/..chat":                                 true,

		"":                        false,
		"chat":                    false,
		"@evil.example/":          false,
		"//evil.example/":         false,
		"/models/../admin":        false,
		"/models/./x":             false,
		"/models/%2e%2e/admin":    false,
		"/models/%2E./admin":      false,
		"/models/..%2fadmin":      false,
		"/models/..%2Fadmin/chat": false,
		"/models/a#b":             false,
		"/models/a\\b":            false,
		"/models/..%5cadmin":      false,
		"/models/a b":             false,
		"/models//b":              false,
	} {
		if err := checkCall(Call{Path: path}); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestCallWithAHeaderThatIsNoneIsRefused(t *testing.T) {
	for _, value := range []string{"a\nX-Evil: 1", "a\r", "a\x00", "a\x7f"} {
		if err := checkCall(Call{Path: "/", Header: http.Header{"Beta": {"fine", value}}}); err == nil {
			t.Errorf("%q passes", value)
		}
	}
	if err := checkCall(Call{Path: "/", Header: http.Header{"Beta": {"fine, ünd"}}}); err != nil {
		t.Error(err)
	}
}

func TestScrub(t *testing.T) {
	const key = "sk-abcdefghijklmnop"
	for in, want := range map[string]string{
		"":                                    "",
		"nothing here":                        "nothing here",
		"key " + key + ".":                    "key [redacted].",
		key:                                   "[redacted]",
		key + key:                             "[redacted]",
		"sk-abcde***jklmnop":                  "[redacted]***[redacted]",
		"sk-abcde***klmno":                    "[redacted]***klmno",
		"sk-abcde***ijklmnop":                 "[redacted]***[redacted]",
		"ab defgh":                            "ab defgh",
		"SK-ABCDEFGHIJKLMNOP":                 "[redacted]",
		"a piece: ghijkl":                     "a piece: [redacted]",
		"c2stYWJjZGVmZ2hpamtsbW5vcA==":        "[redacted]A==",       // the key in base64
		"Basic dTpzay1hYmNkZWZnaGlqa2xtbm9w":  "Basic dTp[redacted]", // "u:" and the key
		"über " + key + " über":               "über [redacted] über",
		"%73%6b%2D%61%62%63%64%65%66%67":      "[redacted]",    // escaped in a URL
		"%2573%256b%252Dabcdef":               "[redacted]",    // twice
		"%E4bcdefgh":                          "%E4[redacted]", // a half
		`\u0073\u006b-\x61bcdefgh`:            "[redacted]",    // as programs write it
		"&#115;&#x6B;-&#97;bcdefgh":           "[redacted]",    // as HTML
		"s k - a b c d e f g h!":              "[redacted]!",   // spaced out
		"736b2d6162636465666768":              "[redacted]",    // in hexadecimal digits
		"x 736B2D616263 x, 6b2d61 is short":   "x [redacted] x, 6b2d61 is short",
		"100% of &#x; and %zz and \\u12 stay": "100% of &#x; and %zz and \\u12 stay",
		"limit 200000, requested 363738":      "limit 200000, requested 363738",
		"short secret: wxyz, and wxyz once":   "short secret: [redacted], and [redacted] once",
	} {
		if got := scrub(in, []string{key, "wxyz", "xy", ""}, nil); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// A provider may reveal one of our credentials other than the one used for the call.
func TestCredentialsOfOtherCallsAreKeptOutOfErrors(t *testing.T) {
	var k known
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer another-0123456789-secret")
	x := Exchange{Target: Target{Provider: "other"}}
	x.Request, _ = chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
	k.learn(&trip{c: NewClient(Options{}), x: x, req: r})
	e := &Error{Detail: chat.Error{Message: "key ANOTHER-0123456789-SECRET is \u202eover\x1b[31m its limit"}}
	e.redact(nil, k.all())
	if e.Detail.Message != "key [redacted] is over[31m its limit" {
		t.Errorf("%q", e.Detail.Message)
	}
}
