// Package signin logs a person in to a router, with a browser on this machine or on another
// device, and keeps the login tokens.
package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tallyroute/cmd/tallyroute/adminapi"
)

// Login is a completed login.
type Login struct {
	Pending   bool   `json:"pending"`
	Token     string `json:"token"`
	Actor     string `json:"actor"`
	ExpiresAt string `json:"expires_at"`
}

// Page is what the person has to open, and the code to enter there on another device.
type Page struct {
	URL      string `json:"url"`
	UserCode string `json:"user_code"`
	Verify   string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
	Login    string `json:"login"`
}

// errState means that the browser returned with the answer to a different login.
var errState = errors.New("the browser came back from another login: begin again")

// ByBrowser waits on the loopback interface for the browser to return from the page that
// show opens. With "fresh" in ask, the person has to authenticate again.
func ByBrowser(ctx context.Context, api adminapi.API, ask map[string]any, show func(Page)) (Login, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return Login{}, err
	}
	ask["redirect_uri"] = "http://" + l.Addr().String() + "/callback"
	page, err := adminapi.Do[Page](ctx, api, adminapi.Post("/login", ask))
	if err != nil {
		return Login{}, errors.Join(err, l.Close())
	}
	came := make(chan [2]string, 1)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r)
			return
		}
		q := r.URL.Query()
		said := "You can close this page."
		if fault := q.Get("error"); fault != "" {
			said = "The login failed: " + html.EscapeString(fault)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>Tallyroute</title><p>"+said)
		select {
		case came <- [2]string{q.Get("code"), q.Get("state")}:
		default: // one is enough
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	show(page)
	var code [2]string
	select {
	case code = <-came:
	case <-ctx.Done():
		err = ctx.Err()
	}
	err = errors.Join(err, server.Shutdown(context.WithoutCancel(ctx)))
	if end := <-done; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	if err != nil {
		return Login{}, err
	}
	if code[0] == "" {
		return Login{}, errState
	}
	return adminapi.Do[Login](ctx, api, adminapi.Post("/login/finish", map[string]any{
		"login": page.Login, "code": code[0], "state": code[1],
	}))
}

// ByDevice polls until the person has finished on the device to which show directs them.
func ByDevice(ctx context.Context, api adminapi.API, show func(Page)) (Login, error) {
	page, err := adminapi.Do[Page](ctx, api, adminapi.Post("/login/device", nil))
	if err != nil {
		return Login{}, err
	}
	page.URL = page.Verify
	if page.Complete != "" {
		page.URL = page.Complete
	}
	show(page)
	for {
		in, err := adminapi.Do[Login](ctx, api, adminapi.Post("/login/finish", map[string]any{"login": page.Login}))
		if err != nil || !in.Pending {
			return in, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return Login{}, ctx.Err()
		}
	}
}

// Tokens is a file of login tokens by router address. Only its owner can read it.
type Tokens struct{ File string }

// Of returns the token for a router; "" if there is none.
func (t Tokens) Of(router string) (string, error) {
	all, err := t.read()
	return all[router], err
}

func (t Tokens) read() (map[string]string, error) {
	all := map[string]string{}
	text, err := os.ReadFile(t.File)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", t.File, err)
	}
	return all, nil
}

// Keep stores the token for a router; "" removes it.
func (t Tokens) Keep(router, token string) error {
	all, err := t.read()
	if err != nil {
		return err
	}
	all[router] = token
	if token == "" {
		delete(all, router)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.File), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(t.File), ".tokens-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), t.File)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
