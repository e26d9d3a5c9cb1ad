package sink

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFileIsReplacedAsAWholeAndReadByItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	f := File{Dir: dir}
	for _, secret := range []string{"first", "second", "second"} {
		if err := f.Write(t.Context(), "team/key", secret, nil); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "team", "key"))
		if err != nil || string(got) != secret+"\n" {
			t.Errorf("the file has %q, %v", got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "team", "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := f.Delete(t.Context(), "team/key"); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "team")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"", "/etc/passwd", "../key", "a/../../key", "out/key"} {
		if err := f.Write(t.Context(), place, "x", nil); err == nil {
			t.Errorf("%q is written to", place)
		}
	}
}

func TestWebhookIsSigned(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("s3cret"))
		_, _ = mac.Write([]byte(r.Header.Get("X-Tallyroute-Timestamp") + "." + string(body)))
		if r.Header.Get("X-Tallyroute-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("the signature of %s is %s", body, r.Header.Get("X-Tallyroute-Signature"))
		}
		var v map[string]string
		if err := json.Unmarshal(body, &v); err != nil || v["secret"] != "new" || v["key_id"] != "key_1" || v["place"] != "p" {
			t.Errorf("the body is %s", body)
		}
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(status)
	}))
	defer server.Close()
	hook := Webhook{URL: server.URL, Secret: "s3cret", Client: server.Client(), Clock: time.Now}
	if err := hook.Write(t.Context(), "p", "new", map[string]string{"key_id": "key_1"}); err != nil {
		t.Error(err)
	}
	for _, status = range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusBadGateway} {
		if err := hook.Write(t.Context(), "p", "new", map[string]string{"key_id": "key_1"}); err == nil ||
			strings.Contains(err.Error(), "new") {
			t.Errorf("%d: %v", status, err)
		}
	}
}
