package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/sink"
)

var notice = Message{
	ID: "alert_1", Kind: "limit", Severity: "warning", Object: "bud_1", Title: "80 % of <a> limit", Text: "It is used.",
	Remedy: "Raise it.",
	Team:   "payments", Owner: "ann@example.com", Data: map[string]string{"limit": "5"}, OccurredAt: time.Unix(1_000_000, 0), Try: 2,
}

// received is what a server received.
type received struct {
	body   map[string]any
	raw    []byte
	header http.Header
}

// server responds with a status and keeps what it receives.
func server(t *testing.T, status int) (string, func() received) {
	t.Helper()
	got := make(chan received, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		one := received{raw: raw, header: r.Header}
		_ = json.Unmarshal(raw, &one.body)
		got <- one
		w.Header().Set("Location", "http://169.254.169.254/")
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() received { return <-got }
}

func TestAWebhookIsSignedAndHasTheIDOfTheAlert(t *testing.T) {
	url, got := server(t, http.StatusNoContent)
	at := time.Unix(2_000_000, 0)
	hook := Webhook{URL: url, Secret: "s", Client: PrivateClient(), Clock: func() time.Time { return at }}
	if err := hook.Notify(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	r := got()
	want := sink.Signed("s", r.raw, at)
	if r.header.Get("X-Tallyroute-Signature") != want.Get("X-Tallyroute-Signature") || r.header.Get("X-Tallyroute-Alert") != "alert_1" {
		t.Errorf("%v", r.header)
	}
	if r.body["id"] != "alert_1" || r.body["remedy"] != "Raise it." || r.body["owner"] != "ann@example.com" {
		t.Errorf("%v", r.body)
	}
}

// notifier is a channel.
type notifier interface {
	Notify(ctx context.Context, n Message) error
}

func TestEachChannelGetsItsOwnForm(t *testing.T) {
	for name, one := range map[string]struct {
		channel func(url string) notifier
		want    []string
	}{
		"slack": {func(url string) notifier {
			return Slack{url, PrivateClient()}
		}, []string{`"text":"*WARNING: 80 % of \u0026lt;a\u0026gt; limit*`, "Raise it."}},
		"teams": {func(url string) notifier {
			return Teams{url, PrivateClient()}
		}, []string{`application/vnd.microsoft.card.adaptive`, `"type":"AdaptiveCard"`, "Owner: ann@example.com"}},
		"pagerduty": {func(url string) notifier {
			return PagerDuty{url, "rk", PrivateClient()}
		}, []string{`"routing_key":"rk"`, `"event_action":"trigger"`, `"dedup_key":"alert_1"`, `"severity":"warning"`, `"source":"bud_1"`}},
	} {
		url, got := server(t, http.StatusAccepted)
		if err := one.channel(url).Notify(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
		text := string(got().raw)
		for _, want := range one.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s lacks %s", name, text, want)
			}
		}
	}
}

func TestNamesBecomeNoLinks(t *testing.T) {
	named := notice
	named.Title, named.Text = "Key [open](https://evil.example)", "The key <https://evil.example|open> & [open](https://evil.example)"
	for name, channel := range map[string]func(url string) notifier{
		"slack": func(url string) notifier {
			return Slack{url, PrivateClient()}
		},
		"teams": func(url string) notifier {
			return Teams{url, PrivateClient()}
		},
	} {
		url, got := server(t, http.StatusOK)
		if err := channel(url).Notify(t.Context(), named); err != nil {
			t.Fatal(err)
		}
		text := string(got().raw)
		if name == "teams" && strings.Contains(text, "](") || name == "slack" && strings.Contains(text, `\u003chttps`) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestWhatIsNoSuccessIsAnErrorWithoutTheAddress(t *testing.T) {
	for _, status := range []int{http.StatusFound, http.StatusNotFound, http.StatusInternalServerError} {
		url, _ := server(t, status)
		if err := (Slack{url + "/secret", PrivateClient()}).Notify(t.Context(), notice); err == nil ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v", status, err)
		}
	}
	away := httptest.NewServer(nil)
	away.Close()
	if err := (Slack{away.URL + "/secret", PrivateClient()}).Notify(t.Context(), notice); err == nil ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestAddressesThatAreNotPublicAreRefused(t *testing.T) {
	url, _ := server(t, http.StatusOK)
	for _, to := range []string{url, "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/"} {
		if err := (Slack{to, Client()}).Notify(t.Context(), notice); !errors.Is(err, providers.ErrNotPublic) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// mailServer accepts one mail.
func mailServer(t *testing.T) (SMTP, func() string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r, say := textproto.NewReader(bufio.NewReader(conn)), func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
		say("220 mail")
		var all strings.Builder
		for {
			line, err := r.ReadLine()
			if err != nil {
				return
			}
			all.WriteString(line + "\n")
			switch verb, _, _ := strings.Cut(line, " "); verb {
			case "DATA":
				say("354 go on")
				text, _ := r.ReadDotLines()
				got <- all.String() + strings.Join(text, "\n")
				say("250 taken")
			case "QUIT":
				say("221 bye")
				return
			default:
				say("250 fine")
			}
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	return SMTP{Host: "127.0.0.1", Port: port, TLS: "none", From: "router@example.com"}, func() string { return <-got }
}

func TestMailGoesToTheOwnerAndHasTheIDOfTheAlert(t *testing.T) {
	smtp, got := mailServer(t)
	if err := (Mail{smtp, []string{Owner, "ops@example.com", "ann@example.com"}}).Notify(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	text := got()
	for _, want := range []string{
		"RCPT TO:<ann@example.com>", "RCPT TO:<ops@example.com>", "Message-ID: <alert_1@example.com>", "Raise it.", "Subject: [warning] 80",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if strings.Count(text, "RCPT TO:<ann@") != 1 {
		t.Error("the owner gets it twice")
	}
	nobody := notice
	nobody.Owner = ""
	if err := (Mail{smtp, []string{Owner}}).Notify(t.Context(), nobody); !errors.Is(err, ErrNobody) {
		t.Errorf("%v", err)
	}
}
