// Package managers makes clients for the secret managers that the configuration describes.
package managers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/identity"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/age"
	"tallyroute/providers/secret/aws"
	"tallyroute/providers/secret/azure"
	"tallyroute/providers/secret/conjur"
	"tallyroute/providers/secret/google"
	"tallyroute/providers/secret/kubernetes"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/secret/vault"
)

// New returns a keeper of the secrets in the configured managers. It doesn't call any of
// them yet.
func New(c config.Secrets, host *identity.Host, o manager.Options) (*manager.Keeper, error) {
	all, err := All(c, host)
	if err != nil {
		return nil, err
	}
	if o.Every = time.Duration(c.Refresh); o.Every == 0 {
		o.Every = manager.Every
	}
	if c.AgeIdentity != "" {
		o.Open = func(ctx context.Context, text string) (string, error) { return open(ctx, c.AgeIdentity, text) }
	}
	return manager.NewKeeper(all, o), nil
}

// open decrypts what was encrypted with age.
func open(ctx context.Context, identity config.SecretRef, text string) (string, error) {
	v, err := secret.Resolve(ctx, string(identity))
	if err != nil {
		return "", err
	}
	by, err := age.Parse(v.Reveal())
	if err != nil {
		return "", err
	}
	return by.Open(text)
}

// All returns the managers by the scheme of references to their secrets.
func All(c config.Secrets, host *identity.Host) (map[string]manager.Manager, error) {
	all := map[string]manager.Manager{}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		if cluster, err := kubernetes.InCluster(""); err == nil { // otherwise this pod has no service account
			all["kubernetes"] = cluster
		}
	}
	if c.Vault.Address != "" {
		v, err := openVault(c.Vault)
		if err != nil {
			return nil, fmt.Errorf("secrets.vault.ca_file: %w", err)
		}
		all["vault"] = v
	}
	if c.Conjur.Address != "" {
		client, err := manager.NewClient(c.Conjur.CAFile)
		if err != nil {
			return nil, fmt.Errorf("secrets.conjur.ca_file: %w", err)
		}
		all["conjur"] = conjur.New(conjur.Options{
			Address: c.Conjur.Address, Account: c.Conjur.Account, Login: c.Conjur.Login, Service: c.Conjur.Service,
			Secret: login(c.Conjur.Secret), Client: client,
		})
	}
	return clouds(c, host, all)
}

// clouds adds the managers of cloud providers, which need no settings: our identity is
// determined when one of them is first called.
func clouds(c config.Secrets, host *identity.Host, all map[string]manager.Manager) (map[string]manager.Manager, error) {
	client, err := manager.NewClient("")
	if err != nil {
		return nil, err
	}
	chain := host.AWS(c.AWS.Region, "")
	all["aws-sm"] = aws.New(aws.Options{Region: chain.Home, Endpoint: c.AWS.Endpoint, Credentials: chain, Client: client})
	all["azure-kv"] = azure.New(azure.Options{
		Suffix: c.Azure.Suffix, Token: host.Azure(azure.Scope(c.Azure.Suffix), ""), Client: client,
	})
	all["gcp-sm"] = google.New(google.Options{Endpoint: c.Google.Endpoint, Token: host.Google(), Client: client})
	return all, nil
}

// podToken is where a pod finds the token of its service account. Kubernetes lets every
// user of the container read it.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path

func openVault(c config.Vault) (*vault.Vault, error) {
	client, err := manager.NewClient(c.CAFile)
	if err != nil {
		return nil, err
	}
	return vault.New(vault.Options{
		Address: c.Address, Namespace: c.Namespace, Method: c.Auth, Mount: c.AuthMount, Role: c.Role, Secret: login(c.Secret),
		Client: client,
	}), nil
}

// login reads the login secret every time, because it may have been rotated.
func login(ref config.SecretRef) vault.Source {
	return func(ctx context.Context) (secret.Value, error) {
		if ref != "" {
			return secret.Resolve(ctx, string(ref))
		}
		text, err := os.ReadFile(podToken)
		if err != nil {
			return secret.Value{}, err
		}
		return secret.Trimmed(podToken, string(text))
	}
}

// Below restricts a manager to places below a prefix.
type Below struct {
	Manager manager.Manager
	At      string
}

// Write writes to a place below the prefix.
func (b Below) Write(ctx context.Context, place, text string, about map[string]string) error {
	at, err := b.place(place)
	if err != nil {
		return err
	}
	return b.Manager.Write(ctx, at, text, about)
}

// Delete deletes a place below the prefix.
func (b Below) Delete(ctx context.Context, place string) error {
	at, err := b.place(place)
	if err != nil {
		return err
	}
	return b.Manager.Delete(ctx, at)
}

// place refuses names that would lead outside the prefix.
func (b Below) place(place string) (string, error) {
	for part := range strings.SplitSeq(place, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%q is not the place of a secret", place)
		}
	}
	return strings.TrimPrefix(b.At+"/"+place, "/"), nil
}
