package identity

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Chain finds AWS credentials where AWS's own tools find them: the environment, profiles, a
// web identity (IRSA), or the role of the container or machine (IMDSv2).
type Chain struct {
	Region  string // "" means the one in the environment
	Profile string // "" means the one in the environment
	loaded  lazily[aws.Config]
}

func (c *Chain) load(ctx context.Context) (aws.Config, error) {
	return c.loaded.get(func() (aws.Config, error) {
		o := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // problems are returned as errors
		if c.Region != "" {
			o = append(o, config.WithRegion(c.Region))
		}
		if c.Profile != "" {
			o = append(o, config.WithSharedConfigProfile(c.Profile))
		}
		return config.LoadDefaultConfig(context.WithoutCancel(ctx), o...)
	})
}

// Retrieve returns temporary credentials.
func (c *Chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	loaded, err := c.load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return loaded.Credentials.Retrieve(ctx)
}

// Home returns the region that this process runs in; "" if nothing says so.
func (c *Chain) Home(ctx context.Context) (string, error) {
	loaded, err := c.load(ctx)
	return loaded.Region, err
}

// Proof returns a source of AWS tokens that prove to an audience who this process is.
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
