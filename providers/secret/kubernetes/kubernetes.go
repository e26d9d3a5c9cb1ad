// Package kubernetes reads and writes Kubernetes Secrets, as the service account of the pod
// that this process runs in.
package kubernetes

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// Cluster keeps secrets in the Secrets of one namespace. Each member of a Secret is applied
// with a field manager of its own, so that members that belong to others stay as they are.
type Cluster struct {
	Server    string // https://host:port
	Namespace string
	Token     func() (string, error) // read each time, because it is short-lived
	Client    *http.Client
}

// account is the directory with the pod's service account.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

var (
	_ manager.Manager = Cluster{}
	_ manager.Reacher = Cluster{}
)

// InCluster returns the cluster that this process runs in. The namespace defaults to its own.
func InCluster(namespace string) (Cluster, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" {
		return Cluster{}, errors.New("kubernetes: not running in a Kubernetes pod: KUBERNETES_SERVICE_HOST is not set")
	}
	pem, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return Cluster{}, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	if namespace == "" {
		own, err := os.ReadFile(filepath.Join(account, "namespace"))
		if err != nil {
			return Cluster{}, err
		}
		namespace = strings.TrimSpace(string(own))
	}
	return Cluster{
		Server: "https://" + net.JoinHostPort(host, port), Namespace: namespace,
		Token: func() (string, error) {
			token, err := os.ReadFile(filepath.Join(account, "token"))
			return strings.TrimSpace(string(token)), err
		},
		Client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}},
	}, nil
}

// defaultMember is the member of a Secret to use if the place names none.
const defaultMember = "api-key"

var (
	secretName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	memberName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
)

// place parses NAME or NAME/MEMBER.
func (k Cluster) place(place string) (name, member string, err error) {
	name, member, _ = strings.Cut(place, "/")
	if member == "" {
		member = defaultMember
	}
	if !secretName.MatchString(name) || !memberName.MatchString(member) {
		return "", "", fmt.Errorf("kubernetes: %q is not the name of a Secret, or one and its member: NAME/MEMBER", place)
	}
	return name, member, nil
}

// Write applies a secret to a member of a Secret, which it creates if necessary.
func (k Cluster) Write(ctx context.Context, place, secret string, _ map[string]string) error {
	name, member, err := k.place(place)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{"name": name, "namespace": k.Namespace},
		"data":     map[string][]byte{member: []byte(secret)},
	})
	if err != nil {
		return err
	}
	return k.patch(ctx, name, "?force=true&fieldManager=tallyroute-"+member, "application/apply-patch+yaml", body)
}

// Delete removes the member. The Secret itself stays, since others may use it.
func (k Cluster) Delete(ctx context.Context, place string) error {
	name, member, err := k.place(place)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"data": map[string]any{member: nil}})
	if err != nil {
		return err
	}
	err = k.patch(ctx, name, "", "application/merge-patch+json", body)
	if manager.Is(err, manager.NotFound) {
		return nil
	}
	return err
}

func (k Cluster) patch(ctx context.Context, name, query, media string, body []byte) error {
	_, err := k.call(ctx, http.MethodPatch, k.Namespace, name+query, media, body)
	return err
}

// Fetch reads a Secret as an object of its members: NAME in our namespace, or NAMESPACE/NAME.
func (k Cluster) Fetch(ctx context.Context, name string) (manager.Secret, error) {
	namespace, own, found := strings.Cut(name, "/")
	if !found {
		namespace, own = k.Namespace, name
	}
	if !secretName.MatchString(own) || !secretName.MatchString(namespace) {
		return manager.Secret{}, fmt.Errorf("kubernetes: %q is not the name of a Secret, or of a namespace and one: NAMESPACE/NAME", name)
	}
	text, err := k.call(ctx, http.MethodGet, namespace, own, "", nil)
	if err != nil {
		return manager.Secret{}, err
	}
	var got struct {
		Data     map[string][]byte `json:"data"`
		Metadata struct {
			Version string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if json.Unmarshal(text, &got) != nil {
		return manager.Secret{}, manager.Unreadable("kubernetes")
	}
	members := make(map[string]string, len(got.Data))
	for member, value := range got.Data {
		members[member] = string(value)
	}
	all, err := json.Marshal(members)
	return manager.Secret{Text: secret.New(string(all)), Version: got.Metadata.Version}, err
}

func (k Cluster) call(ctx context.Context, method, namespace, rest, media string, body []byte) ([]byte, error) {
	return k.do(ctx, method, "/api/v1/namespaces/"+namespace+"/secrets/"+rest, media, body)
}

func (k Cluster) do(ctx context.Context, method, path, media string, body []byte) ([]byte, error) {
	token, err := k.Token()
	if err != nil {
		return nil, err
	}
	header := http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer " + token}}
	if media != "" {
		header.Set("Content-Type", media)
	}
	caller := manager.Caller{Name: "kubernetes", Client: k.Client, Judge: judge}
	return caller.Do(ctx, manager.Call{Method: method, URL: k.Server + path, Header: header, Body: body})
}

// judge reads a Status object.
func judge(status int, body []byte) (manager.Kind, string) {
	var said struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(body, &said) // otherwise only the status is known
	return manager.ByStatus(status), said.Reason
}

// Reach implements manager.Reacher.
func (k Cluster) Reach(ctx context.Context, use manager.Use) (wide []string, err error) {
	namespaces := map[string]bool{"": true} // all of them
	for _, name := range use.Names {
		namespace, _, found := strings.Cut(name, "/")
		if !found {
			namespace = k.Namespace
		}
		namespaces[namespace] = true
	}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		where := cmp.Or(namespace, "the whole cluster")
		for _, verb := range []string{"get", "list", "patch", "delete"} {
			written := slices.ContainsFunc(use.Places, func(at string) bool { return cmp.Or(at, k.Namespace) == namespace })
			if verb == "patch" && written {
				continue // a sink does it
			}
			may, err := k.may(ctx, namespace, verb)
			if err != nil {
				return wide, err
			}
			if may {
				wide = append(wide, "the service account may "+verb+" every Secret of "+where)
			}
		}
		if namespace == "" && len(wide) > 0 {
			return wide, nil // which says all
		}
	}
	return wide, nil
}

// may asks whether this account may do something with every Secret of a namespace.
func (k Cluster) may(ctx context.Context, namespace, verb string) (bool, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]string{"namespace": namespace, "verb": verb, "resource": "secrets"}},
	})
	if err != nil {
		return false, err
	}
	text, err := k.do(ctx, http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "application/json", body)
	var review struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	if err == nil && json.Unmarshal(text, &review) != nil {
		err = manager.Unreadable("kubernetes")
	}
	return review.Status.Allowed, err
}
