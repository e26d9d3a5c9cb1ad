package identity

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Chain finds credentials of AWS where its tools find them: the environment, profiles, a
// web identity (IRSA), the container's or the machine's role (IMDSv2).
type Chain struct {
	Region  string // "" is the one of the environment
	Profile string // "" is the one of the environment
	loaded  lazily[aws.Config]
}

func (c *Chain) load(ctx context.Context) (aws.Config, error) {
	return c.loaded.get(func() (aws.Config, error) {
		o := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // what goes wrong comes as an error
		if c.Region != "" {
			o = append(o, config.WithRegion(c.Region))
		}
		if c.Profile != "" {
			o = append(o, config.WithSharedConfigProfile(c.Profile))
		}
		return config.LoadDefaultConfig(context.WithoutCancel(ctx), o...)
	})
}

// Retrieve gives credentials that are good for a while.
func (c *Chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
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

// Proof is a token of AWS that says to an audience who this process is.
func (c *Chain) Proof(audience string) Token {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		loaded, err := c.load(ctx)
		if err != nil {
			return "", err
		}
		out, err := sts.NewFromConfig(loaded).GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{
			Audience: []string{audience}, SigningAlgorithm: aws.String("RS256"),
		})
		if err != nil {
			return "", err
		}
		if aws.ToString(out.WebIdentityToken) == "" {
			return "", errors.New("identity: AWS gives no token")
		}
		return *out.WebIdentityToken, nil
	}
}
