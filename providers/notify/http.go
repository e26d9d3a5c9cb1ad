package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/sink"
)

// patience is how long one call may take.
const patience = 10 * time.Second

// Client returns a client for channels that are reached over HTTP. It follows no redirects,
// since they may lead anywhere, and ignores proxies in the environment.
func Client() *http.Client {
	d := &net.Dialer{Timeout: patience}
	providers.PublicOnly(d)
	return clientOf(d)
}

// PrivateClient returns a Client that may also reach non-public addresses.
func PrivateClient() *http.Client { return clientOf(&net.Dialer{Timeout: patience}) }

func clientOf(d *net.Dialer) *http.Client {
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
	}
}

// post sends a body as JSON. Its errors never contain the address, which may be a secret.
func post(ctx context.Context, client *http.Client, url string, body any, sign func([]byte) http.Header) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("notify: its address is not a URL")
	}
	if sign != nil {
		req.Header = sign(raw)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("notify: %w", cause(err))
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // only for the message
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("notify: it answered %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	return nil
}

// cause returns the error of a call without the address that was called.
func cause(err error) error {
	for {
		of, ok := err.(interface{ Unwrap() error })
		if _, about := err.(net.Error); !ok || !about { //nolint:errorlint // as above
			return err
		}
		err = of.Unwrap()
	}
}

// Webhook posts alerts as JSON, signed the way sink.Webhook signs. X-Tallyroute-Alert is the
// ID that identifies duplicates.
type Webhook struct {
	URL    string
	Secret string
	Client *http.Client
	Clock  func() time.Time
}

// Notify posts an alert.
func (w Webhook) Notify(ctx context.Context, n Message) error {
	return post(ctx, w.Client, w.URL, n, func(raw []byte) http.Header {
		h := sink.Signed(w.Secret, raw, w.Clock())
		h.Set("X-Tallyroute-Alert", n.ID)
		return h
	})
}

// Post posts anything else, signed the same way.
func (w Webhook) Post(ctx context.Context, body any) error {
	return post(ctx, w.Client, w.URL, body, func(raw []byte) http.Header { return sink.Signed(w.Secret, raw, w.Clock()) })
}

// Slack posts alerts to a Slack incoming webhook.
type Slack struct {
	URL    string
	Client *http.Client
}

// Notify posts an alert.
func (s Slack) Notify(ctx context.Context, n Message) error {
	plain := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;") // Slack's markup
	text := fmt.Sprintf("*%s: %s*\n%s", strings.ToUpper(n.Severity), plain.Replace(n.Title), plain.Replace(body(n)))
	return post(ctx, s.Client, s.URL, map[string]any{"text": text, "unfurl_links": false}, nil)
}

// Teams posts alerts to a Microsoft Teams workflow, as adaptive cards.
type Teams struct {
	URL    string
	Client *http.Client
}

// Notify posts an alert. Names in it cannot become links, which a text block of a card makes
// of Markdown.
func (t Teams) Notify(ctx context.Context, n Message) error {
	block := func(text string, more map[string]any) map[string]any {
		b := map[string]any{"type": "TextBlock", "text": strings.ReplaceAll(text, "](", "]\u200b("), "wrap": true}
		for name, value := range more {
			b[name] = value
		}
		return b
	}
	color := map[string]string{"critical": "Attention", "warning": "Warning"}[n.Severity]
	blocks := []map[string]any{block(n.Title, map[string]any{"weight": "Bolder", "color": cmp.Or(color, "Default")})}
	for line := range strings.Lines(body(n)) {
		blocks = append(blocks, block(strings.TrimSpace(line), nil))
	}
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": blocks,
	}
	return post(ctx, t.Client, t.URL, map[string]any{
		"type":        "message",
		"attachments": []map[string]any{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}},
	}, nil)
}

// PagerDutyURL is where PagerDuty events go, except for accounts in the EU.
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// PagerDuty sends alerts as events of version 2.
type PagerDuty struct {
	URL        string
	RoutingKey string
	Client     *http.Client
}

// Notify triggers a PagerDuty incident.
func (p PagerDuty) Notify(ctx context.Context, n Message) error {
	details := map[string]string{"text": n.Text, "remedy": n.Remedy, "owner": n.Owner, "team": n.Team}
	for name, value := range n.Data {
		details[name] = value
	}
	return post(ctx, p.Client, p.URL, map[string]any{
		"routing_key": p.RoutingKey, "event_action": "trigger", "dedup_key": n.ID, "client": "Tallyroute",
		"payload": map[string]any{
			"summary": shortened(n.Title+": "+n.Text, 1024), "source": cmp.Or(n.Object, "Tallyroute"), // both are required
			"severity": n.Severity, "class": n.Kind, "group": n.Team, "timestamp": n.OccurredAt.UTC().Format(time.RFC3339),
			"custom_details": details,
		},
	}, nil)
}

func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}

// body returns an alert as lines for people.
func body(n Message) string {
	lines := []string{n.Text}
	if n.Remedy != "" {
		lines = append(lines, "What to do: "+n.Remedy)
	}
	if n.Team != "" {
		lines = append(lines, "Team: "+n.Team)
	}
	if n.Owner != "" {
		lines = append(lines, "Owner: "+n.Owner)
	}
	return strings.Join(append(lines, "Alert: "+n.ID), "\n")
}
