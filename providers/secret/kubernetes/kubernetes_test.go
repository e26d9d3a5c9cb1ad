package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tallyroute/providers/secret/kubernetes"
	"tallyroute/providers/secret/manager"
)

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
	k := kubernetes.Cluster{Server: server.URL, Namespace: "ns", Client: server.Client(), Token: func() (string, error) { return "t", nil }}
	if err := k.Write(t.Context(), "openai", "new", nil); err != nil {
		t.Error(err)
	}
	for range 2 { // the second time, it no longer exists
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

func TestKubernetesSecretsAreRead(t *testing.T) {
	status, asked := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"kind":"Secret","metadata":{"resourceVersion":"77"},"data":{"key":"c2stMQ=="},"reason":"Forbidden"}`)
	}))
	defer server.Close()
	k := kubernetes.Cluster{Server: server.URL, Namespace: "ns", Client: server.Client(), Token: func() (string, error) { return "t", nil }}
	for name, path := range map[string]string{"openai": "ns", "other/openai": "other"} {
		s, err := k.Fetch(t.Context(), name)
		if err != nil || s.Text.Reveal() != `{"key":"sk-1"}` || s.Version != "77" ||
			asked != "GET /api/v1/namespaces/"+path+"/secrets/openai" {
			t.Errorf("%s: %s, %s of %s, %v", asked, s.Text.Reveal(), s.Version, name, err)
		}
	}
	for _, name := range []string{"", "a/b/c", "../x", "UPPER"} {
		if _, err := k.Fetch(t.Context(), name); err == nil {
			t.Errorf("%q is read", name)
		}
	}
	status = http.StatusForbidden
	if _, err := k.Fetch(t.Context(), "openai"); !manager.Is(err, manager.Denied) {
		t.Error(err)
	}
}

// TestKubernetesTellsOfAccountsThatReachTooFar: what the account may do besides reading its own.
func TestKubernetesTellsOfAccountsThatReachTooFar(t *testing.T) {
	allowed := map[string]bool{"ns patch": true}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct {
				Attributes struct{ Namespace, Verb, Resource, Name string } `json:"resourceAttributes"`
			} `json:"spec"`
		}
		a := &review.Spec.Attributes
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || a.Resource != "secrets" || a.Name != "" ||
			r.URL.Path != "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
			t.Errorf("%s: %+v, %v", r.URL, review, err)
		}
		_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","status":{"allowed":%t}}`, allowed[a.Namespace+" "+a.Verb])
	}))
	defer server.Close()
	k := kubernetes.Cluster{Server: server.URL, Namespace: "ns", Client: server.Client(), Token: func() (string, error) { return "t", nil }}
	use := manager.Use{Names: []string{"openai", "other/x"}, Places: []string{""}}
	if wide, err := k.Reach(t.Context(), use); err != nil || len(wide) != 0 {
		t.Errorf("a narrow account: %q, %v", wide, err)
	}
	allowed["other list"] = true
	if wide, err := k.Reach(t.Context(), use); err != nil || len(wide) != 1 || !strings.Contains(wide[0], "list every Secret of other") {
		t.Errorf("a wide account: %q, %v", wide, err)
	}
	allowed[" get"] = true
	if wide, err := k.Reach(t.Context(), use); err != nil || len(wide) != 1 || !strings.Contains(wide[0], "get every Secret of the whole cluster") {
		t.Errorf("an account of the cluster: %q, %v", wide, err)
	}
}
