package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Kubernetes keeps secrets in the Secrets of one namespace. Each member of a Secret is
// applied by a field manager of its own, so that others' members stay as they are.
type Kubernetes struct {
	Server    string // https://host:port
	Namespace string
	Token     func() (string, error) // read anew each time: it is short-lived
	Client    *http.Client
}

// account is where a pod finds its service account.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// InCluster is the cluster that this process runs in. Without a namespace it is its own.
func InCluster(namespace string) (Kubernetes, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" {
		return Kubernetes{}, errors.New("sink: this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST is not set")
	}
	pem, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return Kubernetes{}, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	if namespace == "" {
		own, err := os.ReadFile(filepath.Join(account, "namespace"))
		if err != nil {
			return Kubernetes{}, err
		}
		namespace = strings.TrimSpace(string(own))
	}
	return Kubernetes{
		Server: "https://" + net.JoinHostPort(host, port), Namespace: namespace,
		Token: func() (string, error) {
			token, err := os.ReadFile(filepath.Join(account, "token"))
			return strings.TrimSpace(string(token)), err
		},
		Client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}},
	}, nil
}

// defaultMember is the member of a Secret where the place does not name one.
const defaultMember = "api-key"

var (
	secretName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	memberName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
)

// place is NAME or NAME/MEMBER.
func (k Kubernetes) place(place string) (name, member string, err error) {
	name, member, _ = strings.Cut(place, "/")
	if member == "" {
		member = defaultMember
	}
	if !secretName.MatchString(name) || !memberName.MatchString(member) {
		return "", "", fmt.Errorf("sink: %q is not the name of a Secret, or one and its member: NAME/MEMBER", place)
	}
	return name, member, nil
}

// Write applies a secret to a member of a Secret, which is made if it is new.
func (k Kubernetes) Write(ctx context.Context, place, secret string, _ map[string]string) error {
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

// Delete removes the member. The Secret stays: others may use it.
func (k Kubernetes) Delete(ctx context.Context, place string) error {
	name, member, err := k.place(place)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"data": map[string]any{member: nil}})
	if err != nil {
		return err
	}
	err = k.patch(ctx, name, "", "application/merge-patch+json", body)
	if gone := (*statusError)(nil); errors.As(err, &gone) && gone.status == http.StatusNotFound {
		return nil
	}
	return err
}

func (k Kubernetes) patch(ctx context.Context, name, query, media string, body []byte) error {
	token, err := k.Token()
	if err != nil {
		return err
	}
	url := k.Server + "/api/v1/namespaces/" + k.Namespace + "/secrets/" + name + query
	return send(ctx, k.Client, http.MethodPatch, url, body, http.Header{
		"Content-Type": {media}, "Accept": {"application/json"}, "Authorization": {"Bearer " + token},
	})
}
