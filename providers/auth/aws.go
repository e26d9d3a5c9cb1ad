package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"tallyroute/providers"
)

// Keys holds the sources of the parts of an AWS credential.
type Keys struct {
	Region  string // "" takes it from the host of the call
	Access  Source // AWS_ACCESS_KEY_ID
	Secret  Source // AWS_SECRET_ACCESS_KEY
	Session Source // AWS_SESSION_TOKEN; nil, or a source of "", for keys that have none
	// Lent, if set, provides all three: temporary keys.
	Lent func(ctx context.Context) (aws.Credentials, error)
}

// AWS signs calls to Bedrock with Signature Version 4.
func AWS(k Keys) providers.Auth { return signature{keys: k, signer: v4.NewSigner(), now: time.Now} }

var (
	errNoKeys   = errors.New("auth: the credential is empty")
	errNoRegion = errors.New("auth: the host names no region; set one in auth")
)

type signature struct {
	keys   Keys
	signer *v4.Signer
	now    func() time.Time
}

// Sign adds the signature, and the headers that it covers.
func (s signature) Sign(ctx context.Context, r *http.Request) error {
	c, err := s.keys.read(ctx)
	if err != nil {
		return err
	}
	region := s.keys.Region
	if region == "" {
		if region = regionOf(r.URL.Hostname()); region == "" {
			return errNoRegion
		}
	}
	hash, err := hashOf(r)
	if err != nil {
		return err
	}
	if err := s.signer.SignHTTP(ctx, c, r, hash, "bedrock", region, s.now()); err != nil {
		return fmt.Errorf("auth: sign: %w", err)
	}
	return nil
}

func (k Keys) read(ctx context.Context) (aws.Credentials, error) {
	if k.Lent != nil {
		return k.Lent(ctx)
	}
	var c aws.Credentials
	for _, part := range []struct {
		from Source
		to   *string
	}{{k.Access, &c.AccessKeyID}, {k.Secret, &c.SecretAccessKey}, {k.Session, &c.SessionToken}} {
		if part.from == nil {
			continue
		}
		text, err := part.from(ctx)
		if err != nil {
			return c, fmt.Errorf("auth: credential: %w", err)
		}
		*part.to = text
	}
	if !c.HasKeys() {
		return c, errNoKeys
	}
	return c, nil
}

// RegionOf returns the region named by the host of a URL; "" if there is none.
func RegionOf(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	return regionOf(u.Hostname())
}

// regionOf returns the region in a host such as bedrock-runtime.eu-west-1.amazonaws.com.
func regionOf(host string) string {
	labels := strings.Split(host, ".")
	for i, label := range labels {
		if strings.HasPrefix(label, "bedrock") && i+1 < len(labels) && strings.Count(labels[i+1], "-") >= 2 {
			return labels[i+1]
		}
	}
	return ""
}

// hashOf returns the hash of the body, without consuming it.
func hashOf(r *http.Request) (string, error) {
	h := sha256.New()
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return "", fmt.Errorf("auth: %w", err)
		}
		if _, err := io.Copy(h, body); err != nil {
			return "", fmt.Errorf("auth: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
