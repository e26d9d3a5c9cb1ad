// Package sink delivers secrets to the places where programs read them: files, webhooks and
// Kubernetes Secrets. Writing the same secret twice, or deleting what does not exist, is not
// an error, so a caller that crashed in between can simply repeat it.
package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// File keeps each secret in a file of its own below a directory. A file is replaced
// atomically, and only its owner can read it.
type File struct{ Dir string }

// Write puts a secret into the file that place names.
func (f File) Write(_ context.Context, place, secret string, _ map[string]string) (err error) {
	root, name, err := f.open(place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	fresh := name + ".new"
	file, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, secret+"\n")
	err = errors.Join(err, file.Chmod(0o600), file.Sync(), file.Close())
	if err == nil {
		err = root.Rename(fresh, name)
	}
	return errors.Join(err, syncDir(root, filepath.Dir(name)))
}

// Delete removes the file.
func (f File) Delete(_ context.Context, place string) (err error) {
	root, name, err := f.open(place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, one := range []string{name, name + ".new"} {
		if err := root.Remove(one); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// open refuses a place outside the directory, whether by its name or through a link.
func (f File) open(place string) (*os.Root, string, error) {
	if place == "" || !filepath.IsLocal(place) {
		return nil, "", fmt.Errorf("sink: %q is not a file below %s", place, f.Dir)
	}
	root, err := os.OpenRoot(f.Dir)
	return root, filepath.Clean(place), err
}

// syncDir makes a rename durable, if the system supports that.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // some file systems do not support it
	return d.Close()
}

// Webhook reports every secret to one address. A signature proves who sends it:
// X-Tallyroute-Signature is v1= followed by the HMAC-SHA256, in hex, of X-Tallyroute-Timestamp,
// a dot and the body.
type Webhook struct {
	URL    string
	Secret string // key of the signature
	Client *http.Client
	Clock  func() time.Time
}

// Write posts a secret.
func (w Webhook) Write(ctx context.Context, place, secret string, about map[string]string) error {
	return w.post(ctx, "key.rotated", place, map[string]string{"secret": secret}, about)
}

// Delete posts that a secret is no longer valid.
func (w Webhook) Delete(ctx context.Context, place string) error {
	return w.post(ctx, "key.archived", place, nil, nil)
}

func (w Webhook) post(ctx context.Context, event, place string, members ...map[string]string) error {
	body := map[string]string{"event": event, "place": place}
	for _, more := range members {
		for name, value := range more {
			body[name] = value
		}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	header := Signed(w.Secret, raw, w.Clock())
	header.Set("Content-Type", "application/json")
	return send(ctx, w.Client, http.MethodPost, w.URL, raw, header)
}

// Signed returns the headers for a body that is signed at an instant.
func Signed(secret string, body []byte, now time.Time) http.Header {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, at+".") // a hash never fails
	_, _ = mac.Write(body)
	return http.Header{"X-Tallyroute-Timestamp": {at}, "X-Tallyroute-Signature": {"v1=" + hex.EncodeToString(mac.Sum(nil))}}
}

// statusError is an unsuccessful response.
type statusError struct {
	status int
	text   string
}

// Error includes what the other side said, shortened.
func (e *statusError) Error() string {
	return fmt.Sprintf("sink: it answered %d: %s", e.status, e.text)
}

// patience is how long one call may take.
const patience = 10 * time.Second

// send sends a request and checks the response. A redirect is not a success: it may lead anywhere.
func send(ctx context.Context, client *http.Client, method, url string, body []byte, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // only for the message
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &statusError{resp.StatusCode, string(text)}
	}
	return nil
}
