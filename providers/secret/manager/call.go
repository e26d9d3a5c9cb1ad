package manager

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Limits on one call.
const (
	patience   = 10 * time.Second // for one response
	tries      = 3                // for a call that may be repeated
	firstPause = 200 * time.Millisecond
	longest    = 5 * time.Second // longest wait within a call, whatever the manager asks for
	mostRead   = 4 << 20
	mostDetail = 200
)

// Caller calls one manager over HTTP.
type Caller struct {
	Name   string
	Client *http.Client
	// Judge reads an unsuccessful response and returns its kind and what the manager says. If it
	// is nil, only the status counts.
	Judge func(status int, body []byte) (Kind, string)
	// Pause waits between two attempts; nil waits in real time.
	Pause func(ctx context.Context, d time.Duration) error
}

// Call is one request.
type Call struct {
	Method, URL string
	Header      http.Header
	Body        []byte
	Sign        func(*http.Request) error // called on each attempt; nil for none
}

// Do makes a call, with up to three attempts. It waits and retries if the manager throttles or
// is briefly unavailable.
func (c Caller) Do(ctx context.Context, call Call) ([]byte, error) {
	pause := c.Pause
	if pause == nil {
		pause = wait
	}
	for try := 1; ; try++ {
		body, err := c.once(ctx, call)
		failed := (*Error)(nil)
		if !errors.As(err, &failed) || failed.Kind != Throttled && failed.Kind != Unavailable || try == tries || failed.After > longest {
			return body, err
		}
		next := failed.After
		if next == 0 {
			next = firstPause<<(try-1) + rand.N(firstPause) //nolint:gosec // a spread, no secret
		}
		if pause(ctx, next) != nil {
			return nil, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (c Caller) once(ctx context.Context, call Call) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, call.Method, call.URL, bytes.NewReader(call.Body))
	if err != nil {
		return nil, &Error{Manager: c.Name, Kind: Invalid, Err: errors.New("the address is invalid")}
	}
	if call.Header != nil {
		req.Header = call.Header.Clone()
	}
	if call.Sign != nil {
		if err := call.Sign(req); err != nil {
			return nil, err
		}
	}
	resp, err := c.Client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the address
		}
		return nil, &Error{Manager: c.Name, Kind: Unavailable, Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostRead))
	if err != nil {
		return nil, &Error{Manager: c.Name, Kind: Unavailable, Err: err}
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return body, nil
	}
	kind, detail := ByStatus(resp.StatusCode), ""
	if c.Judge != nil {
		kind, detail = c.Judge(resp.StatusCode, body)
	}
	return nil, &Error{
		Manager: c.Name, Kind: kind, Status: resp.StatusCode, Detail: shortened(detail), After: after(resp.Header.Get("Retry-After")),
		answer: body,
	}
}

// ByStatus returns the kind of a response of which only the status is known.
func ByStatus(status int) Kind {
	switch {
	case status == http.StatusUnauthorized:
		return Expired
	case status == http.StatusForbidden:
		return Denied
	case status == http.StatusNotFound, status == http.StatusGone:
		return NotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return Conflict
	case status == http.StatusTooManyRequests:
		return Throttled
	case status >= 500, status == http.StatusRequestTimeout:
		return Unavailable
	}
	return Invalid
}

func after(header string) time.Duration {
	if n, err := strconv.Atoi(header); err == nil && n > 0 {
		return time.Duration(min(n, 3600)) * time.Second
	}
	return 0
}

// shortened returns what a manager says, as a single line of limited length.
func shortened(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > mostDetail {
		text = strings.ToValidUTF8(text[:mostDetail], "") + "…"
	}
	return text
}

// NewClient returns a client for one manager. It trusts the system's certificate authorities,
// or those in a file, and follows one redirect with the same scheme, which is how the standby
// of a cluster points to its leader.
func NewClient(authorities string) (*http.Client, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if authorities != "" {
		pem, err := os.ReadFile(authorities)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", authorities)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: settings, TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(next *http.Request, before []*http.Request) error {
			if len(before) > 1 || next.URL.Scheme != before[0].URL.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}, nil
}

// Unreadable returns the error for a malformed response.
func Unreadable(manager string) error {
	return &Error{Manager: manager, Kind: Invalid, Err: errors.New("the answer cannot be read")}
}
