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

func TestKubernetesKeepsOthersMembers(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.Join([]string{r.Method, r.URL.String(), r.Header.Get("Content-Type"), string(body)}, " "))
		if r.Header.Get("Authorization") != "Bearer t" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		if len(asked) > 2 {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	k := Kubernetes{Server: server.URL, Namespace: "ns", Client: server.Client(), Token: func() (string, error) { return "t", nil }}
	if err := k.Write(t.Context(), "openai", "new", nil); err != nil {
		t.Error(err)
	}
	for range 2 { // the second time it is not there
		if err := k.Delete(t.Context(), "openai/token"); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`PATCH /api/v1/namespaces/ns/secrets/openai?force=true&fieldManager=tallyroute-api-key application/apply-patch+yaml ` +
			`{"apiVersion":"v1","data":{"api-key":"bmV3"},"kind":"Secret","metadata":{"name":"openai","namespace":"ns"},"type":"Opaque"}`,
		`PATCH /api/v1/namespaces/ns/secrets/openai application/merge-patch+json {"data":{"token":null}}`,
	}
	for i, w := range want {
		if i >= len(asked) || asked[i] != w {
			t.Errorf("asked %q, not %s", asked, w)
		}
	}
	if err := k.Write(t.Context(), "openai", "new", nil); err == nil {
		t.Error("a namespace that is not there takes secrets")
	}
	for _, place := range []string{"", "../x", "UPPER", "a/b/c", "a?b"} {
		if err := k.Write(t.Context(), place, "x", nil); err == nil {
			t.Errorf("%q is a place", place)
		}
	}
}
