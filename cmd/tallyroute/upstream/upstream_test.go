package upstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/billing/sqlite"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
	"tallyroute/router/kept"
)

// canary is a secret that must be nowhere.
const canary = "sk-canary-7f3a9c1e5b"

// acme is a provider that takes some keys, and makes and ends them.
type acme struct {
	mu   sync.Mutex
	good []string
	made int
}

func (a *acme) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case strings.HasSuffix(r.URL.Path, "/service_accounts/svc/api_keys") && key == "admin":
		a.made++
		a.good = append(a.good, fmt.Sprintf("sk-made-%d", a.made))
		_ = json.NewEncoder(w).Encode(map[string]string{"id": fmt.Sprintf("key_%d", a.made), "value": a.good[len(a.good)-1]})
	case r.Method == http.MethodDelete && key == "admin":
		id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '_')+1:]
		a.good = slices.DeleteFunc(a.good, func(s string) bool { return s == "sk-made-"+id })
		w.WriteHeader(http.StatusOK)
	case slices.Contains(a.good, key):
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":`+
			`{"role":"assistant","content":"x"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":1,`+
			`"total_tokens":6}}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s or %s***","code":"invalid_api_key"}}`,
			key, key[:min(8, len(key))])
	}
}

// rig is a database with a provider, and the actions on it.
type rig struct {
	manage.Actions
	store *sqlite.Store
	path  string
	acme  *acme
	keys  []envelope.Key
	opens []envelope.Key // and does not seal
	now   time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{path: filepath.Join(t.TempDir(), "t.db"), acme: &acme{good: []string{canary}}, now: time.Now().UTC()}
	at := httptest.NewServer(r.acme)
	t.Cleanup(at.Close)
	store, err := sqlite.Open(t.Context(), r.path, sqlite.Options{Reporting: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.store, r.keys = store, []envelope.Key{newKey(t)}
	text := fmt.Sprintf(`providers: {acme: {base_url: %q, private: true, api_key: "env:GONE", models: [{id: m}],
  key_admin: {kind: openai, secret: "env:ADMIN", project: p, service_account: svc}}}`, at.URL+"/v1")
	client := providers.NewClient(providers.Options{})
	t.Cleanup(client.Close)
	r.Actions = manage.Actions{Store: store.Contracts(), Clock: func() time.Time { return r.now }, Upstreams: &upstream.Desk{
		Store: store, Clock: func() time.Time { return r.now },
		Ring: func(context.Context) (*envelope.Ring, error) {
			keys := envelope.NewRing(r.keys...)
			for _, k := range r.opens {
				keys = keys.Opening(k)
			}
			return keys, nil
		},
		Input: func(context.Context) (catalogue.Input, catalogue.Options, error) {
			return catalogue.Input{Text: text}, catalogue.Options{Secrets: environment}, nil
		},
		Client: func(context.Context) (*providers.Client, error) { return client, nil },
	}}
	return r
}

func environment(_ context.Context, ref string) (secret.Value, error) {
	if ref == "env:ADMIN" {
		return secret.New("admin"), nil
	}
	return secret.Value{}, &secret.NotSetError{Name: strings.TrimPrefix(ref, "env:")}
}

func newKey(t *testing.T) envelope.Key {
	t.Helper()
	text, err := envelope.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := envelope.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var ann = manage.By{Actor: "ann"}

// TestStoredCredentialIsUsedAndNowhereToBeRead: the credential is used for calls, but does not appear
// in any database file, list, trial or audit log record.
func TestStoredCredentialIsUsedAndNowhereToBeRead(t *testing.T) {
	r := newRig(t)
	asked := manage.CredentialRequest{Provider: "acme", Name: "main", Weight: 1, Secret: canary}
	c := must[billing.Credential](t)(r.AddCredential(t.Context(), asked, ann))
	good := must[manage.Trial](t)(r.TestCredential(t.Context(), "acme/main", ann))
	if !good.OK || good.Model != "m" || good.Tokens != 6 {
		t.Errorf("the trial: %+v", good)
	}
	r.acme.good = nil
	bad := must[manage.Trial](t)(r.TestCredential(t.Context(), c.ID, ann))
	if bad.OK || bad.Kind != "credential" || bad.Status != http.StatusUnauthorized {
		t.Errorf("the trial of one that was refused: %+v", bad)
	}
	views := must[[]manage.CredentialView](t)(r.Credentials(t.Context()))
	changes := must[[]billing.Change](t)(r.store.ListChanges(t.Context(), billing.ChangeFilter{}))
	told := fmt.Sprintf("%+v %+v %+v %+v", views, changes, good, bad)
	for _, name := range []string{r.path, r.path + "-wal", r.path + "-shm"} {
		if text, err := os.ReadFile(name); err == nil {
			told += string(text)
		}
	}
	if strings.Contains(told, canary) || strings.Contains(told, canary[:8]) {
		t.Error("a secret can be read")
	}
}

// TestSealedSecretsOpenAfterRekeying, while both keys are known, whenever it breaks off.
func TestSealedSecretsOpenAfterRekeying(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		must[billing.Credential](t)(r.AddCredential(t.Context(), manage.CredentialRequest{
			Provider: "acme", Name: fmt.Sprintf("c%d", i), Weight: 1, Secret: canary,
		}, ann))
	}
	old, fresh := r.keys[0], newKey(t)
	r.keys = []envelope.Key{fresh, old}
	up := r.Upstreams
	r.Upstreams = breaks{up, new(int)}
	if _, err := r.Rekey(t.Context(), ann); err == nil {
		t.Fatal("it did not break off")
	}
	opens := func(keys ...envelope.Key) (n int) {
		l, err := upstream.Load(t.Context(), r.store, envelope.NewRing(keys...), nil, r.now)
		if err != nil {
			t.Fatal(err)
		}
		return 3 - len(l.Unreadable)
	}
	if opens(fresh, old) != 3 || opens(fresh) != 1 {
		t.Errorf("in between %d open with both keys and %d with the new one", opens(fresh, old), opens(fresh))
	}
	r.Upstreams = up
	if done := must[manage.Rekeyed](t)(r.Rekey(t.Context(), ann)); done != (manage.Rekeyed{Changed: 2, Already: 1}) || opens(fresh) != 3 {
		t.Errorf("done: %+v, %d open", done, opens(fresh))
	}
	if again := must[manage.Rekeyed](t)(r.Rekey(t.Context(), ann)); again.Changed != 0 {
		t.Errorf("again: %+v", again)
	}
	all := must[[]billing.Credential](t)(r.store.ListCredentials(t.Context()))
	if _, err := envelope.NewRing(fresh).Open(all[0].Versions[0].Sealed, manage.AboutCredential(all[1].ID, 1)); err == nil {
		t.Error("a secret opens in another row")
	}
}

// TestKeptResponsesAreSealedAnewWithTheSecrets: they need only the new key afterwards, and those that
// no key opens are counted.
func TestKeptResponsesAreSealedAnewWithTheSecrets(t *testing.T) {
	r := newRig(t)
	old, pepper, fresh := r.keys[0], newKey(t), newKey(t)
	shelf := func(keys *envelope.Ring) *kept.Shelf {
		return &kept.Shelf{
			Store: r.store, Ring: keys, Life: time.Hour, Clock: func() time.Time { return r.now },
			Bounds: billing.ResponseBounds{Responses: 9, KeyBytes: 1 << 20, Bytes: 1 << 20},
		}
	}
	id := func(n int) string { return fmt.Sprintf("resp_%026d", n) }
	owner := kept.Owner{Key: "key_1"}
	for i, k := range []envelope.Key{old, pepper, newKey(t)} {
		if err := shelf(envelope.NewRing(k)).Keep(t.Context(), owner, kept.Record{ID: id(i), Input: []byte("[1]"), Response: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	r.keys = []envelope.Key{fresh, old}
	r.opens = []envelope.Key{pepper}
	rehearsal := ann
	rehearsal.DryRun = true
	want := manage.Rekeyed{Changed: 2, Unreadable: 1}
	for _, by := range []manage.By{rehearsal, ann} {
		if done := must[manage.Rekeyed](t)(r.Rekey(t.Context(), by)); done != want {
			t.Errorf("done: %+v, want %+v", done, want)
		}
	}
	if again := must[manage.Rekeyed](t)(r.Rekey(t.Context(), ann)); again != (manage.Rekeyed{Already: 2, Unreadable: 1}) {
		t.Errorf("again: %+v", again)
	}
	for i := range 2 {
		if got, err := shelf(envelope.NewRing(fresh)).Get(t.Context(), owner, id(i)); err != nil || string(got.Input) != "[1]" {
			t.Errorf("%s: %+v, %v", id(i), got, err)
		}
	}
	r.keys = nil
	if _, err := r.Rekey(t.Context(), ann); err == nil {
		t.Error("sealed anew without a key")
	}
}

// breaks is a desk that breaks off after the first secret was sealed anew.
type breaks struct {
	manage.Upstreams
	done *int
}

func (b breaks) Rekey(ctx context.Context, sealed []byte, about string) ([]byte, bool, error) {
	if *b.done++; *b.done > 1 {
		return nil, false, context.Canceled
	}
	return b.Upstreams.Rekey(ctx, sealed, about)
}

// TestProviderMakesAndEndsItsSecrets: a replaced secret ends with the overlap.
func TestProviderMakesAndEndsItsSecrets(t *testing.T) {
	r := newRig(t)
	c := must[billing.Credential](t)(r.AddCredential(t.Context(), manage.CredentialRequest{Provider: "acme", Name: "main", Weight: 1}, ann))
	c = must[billing.Credential](t)(r.RotateCredential(t.Context(), c.ID, manage.CredentialRotation{Overlap: time.Hour}, ann))
	if len(c.Versions) != 2 || !slices.Equal(r.acme.good, []string{canary, "sk-made-1", "sk-made-2"}) {
		t.Fatalf("%d versions, %v", len(c.Versions), r.acme.good)
	}
	if n := must[int](t)(r.EndVersions(t.Context())); n != 0 {
		t.Errorf("%d ended before the overlap did", n)
	}
	r.now = r.now.Add(2 * time.Hour)
	if n := must[int](t)(r.EndVersions(t.Context())); n != 1 || slices.Contains(r.acme.good, "sk-made-1") {
		t.Errorf("%d ended, %v", n, r.acme.good)
	}
	if err := r.RemoveCredential(t.Context(), "acme/main", ann); err != nil || !slices.Equal(r.acme.good, []string{canary}) {
		t.Errorf("removed: %v, %v", err, r.acme.good)
	}
}

// TestSecretsStayWhileTheirKeyIsAway: secrets that were decrypted stay in use, and those that
// expire still do.
func TestSecretsStayWhileTheirKeyIsAway(t *testing.T) {
	r := newRig(t)
	must[billing.Credential](t)(r.AddCredential(t.Context(), manage.CredentialRequest{
		Provider: "acme", Name: "main", Weight: 1, Secret: canary, ExpiresAt: r.now.Add(time.Hour),
	}, ann))
	load := func(ring *envelope.Ring, before *upstream.Loaded) *upstream.Loaded {
		return must[*upstream.Loaded](t)(upstream.Load(t.Context(), r.store, ring, before, r.now))
	}
	opened := load(envelope.NewRing(r.keys...), nil)
	if !opened.Next.Equal(r.now.Add(time.Hour)) {
		t.Errorf("it is looked at again at %s", opened.Next)
	}
	if kept := load(envelope.NewRing(), opened); len(kept.Unreadable) != 0 || len(kept.Held) != 1 {
		t.Errorf("what was opened is lost: %v, held %v", kept.Unreadable, kept.Held)
	}
	if lost := load(envelope.NewRing(), nil); len(lost.Unreadable) != 1 {
		t.Error("nothing says that it cannot be opened")
	}
	r.now = r.now.Add(2 * time.Hour)
	if over := load(envelope.NewRing(r.keys...), opened); !over.Empty() {
		t.Error("one that has expired is in force")
	}
	if _, err := r.AddCredential(t.Context(),
		manage.CredentialRequest{Provider: "none", Name: "x", Weight: 1, Secret: "s"}, ann); err == nil {
		t.Error("one of a provider that there is not is taken")
	}
	r.keys = nil
	if _, err := r.AddCredential(t.Context(),
		manage.CredentialRequest{Provider: "acme", Name: "x", Weight: 1, Secret: "s"}, ann); err == nil ||
		bytes.Contains([]byte(err.Error()), []byte("envelope")) {
		t.Errorf("without a key: %v", err)
	}
}

// TestRulesSayWhetherCredentialsMayBeStored for the environments of their provider.
func TestRulesSayWhetherCredentialsMayBeStored(t *testing.T) {
	r := newRig(t)
	add := func() error {
		_, err := r.AddCredential(t.Context(), manage.CredentialRequest{
			Provider: "acme", Name: fmt.Sprintf("c%d", time.Now().UnixNano()), Owner: "ann@example.com", Secret: canary,
		}, ann)
		return err
	}
	by := ann
	by.Reason = "r"
	for text, refused := range map[string]bool{
		`{"secret_sources":{"prod":["vault"]}}`: true, `{"secret_sources":{"prod":["vault","stored"]}}`: false, `{}`: false,
	} {
		var change manage.RulesChange
		if err := json.Unmarshal([]byte(text), &change.Rules); err != nil {
			t.Fatal(err)
		}
		r.SecretSources = secret.Sources()
		if _, err := r.SetRules(t.Context(), change, by); err != nil {
			t.Fatal(err)
		}
		var broken *governance.BrokenError
		if err := add(); errors.As(err, &broken) != refused || !refused && err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
