// Package identity is who this process is at AWS, Azure and Google Cloud, without a key of
// its own: by the role of its pod or machine, by a federated token, or by what a
// developer's tools have left. The clouds' own libraries find that out and renew it.
package identity

import (
	"context"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// Token gives a token that is good for a while; it is renewed in time.
type Token func(ctx context.Context) (string, error)

// lazily makes something when it is first needed, and again where that failed.
type lazily[T any] struct {
	mu   sync.Mutex
	made bool
	it   T
}

func (l *lazily[T]) get(make func() (T, error)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made {
		return l.it, nil
	}
	it, err := make()
	if err == nil {
		l.it, l.made = it, true
	}
	return it, err
}

// Chain finds credentials of AWS where its tools find them: the environment, profiles, a
// web identity (IRSA), the container's or the machine's role (IMDSv2).
type Chain struct {
	Region string // "" is the one of the environment
	loaded lazily[aws.Config]
}

func (c *Chain) load(ctx context.Context) (aws.Config, error) {
	return c.loaded.get(func() (aws.Config, error) {
		var o []func(*config.LoadOptions) error
		if c.Region != "" {
			o = append(o, config.WithRegion(c.Region))
		}
		return config.LoadDefaultConfig(context.WithoutCancel(ctx), o...)
	})
}

// Retrieve gives credentials that are good for a while.
func (c *Chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	loaded, err := c.load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return loaded.Credentials.Retrieve(ctx)
}

// Home is the region that this process belongs to; "" if nothing says so.
func (c *Chain) Home(ctx context.Context) (string, error) {
	loaded, err := c.load(ctx)
	return loaded.Region, err
}

// Azure gives tokens of Microsoft Entra ID for a scope: by a workload identity, a managed
// identity, the environment, or a developer's tools.
func Azure(scope string) Token {
	var found lazily[*azidentity.DefaultAzureCredential]
	return func(ctx context.Context) (string, error) {
		c, err := found.get(func() (*azidentity.DefaultAzureCredential, error) { return azidentity.NewDefaultAzureCredential(nil) })
		if err != nil {
			return "", err
		}
		t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		return t.Token, err
	}
}

// GoogleScope is that of the whole platform: what may be done is up to the roles granted.
const GoogleScope = "https://www.googleapis.com/auth/cloud-platform"

// Google gives tokens of Google Cloud by its application default credentials: a file, a
// federated identity, a developer's tools, or the machine's service account.
func Google() Token {
	var found lazily[oauth2.TokenSource]
	return func(ctx context.Context) (string, error) {
		source, err := found.get(func() (oauth2.TokenSource, error) {
			c, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), GoogleScope)
			if err != nil {
				return nil, err
			}
			return c.TokenSource, nil
		})
		if err != nil {
			return "", err
		}
		t, err := source.Token()
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	}
}
