// Package aws reads and writes secrets in AWS Secrets Manager. It writes a new version as
// AWSPENDING and then makes it AWSCURRENT, unless another version became current meanwhile.
package aws

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// Options say where the service is and whose credentials to use.
type Options struct {
	Region      func(ctx context.Context) (string, error) // of secrets whose name is not an ARN
	Endpoint    string                                    // "" means the region's own
	Credentials aws.CredentialsProvider
	Client      *http.Client
	Clock       func() time.Time
	Pause       func(ctx context.Context, d time.Duration) error
}

// Secrets is a client of the service.
type Secrets struct {
	Options
	caller manager.Caller
	signer *v4.Signer
}

var (
	_ manager.Manager = (*Secrets)(nil)
	_ manager.Reacher = (*Secrets)(nil)
)

// New returns a client; it makes no calls yet.
func New(o Options) *Secrets {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Secrets{o, manager.Caller{Name: "aws-sm", Client: o.Client, Judge: judge, Pause: o.Pause}, v4.NewSigner()}
}

// kinds maps the service's errors to kinds.
var kinds = map[string]manager.Kind{
	"ResourceNotFoundException": manager.NotFound, "ResourceExistsException": manager.Conflict, "AccessDeniedException": manager.Denied,
	"DecryptionFailure": manager.Denied, "ThrottlingException": manager.Throttled, "TooManyRequestsException": manager.Throttled,
	"LimitExceededException": manager.Throttled, "ExpiredTokenException": manager.Expired, "UnrecognizedClientException": manager.Expired,
	"InvalidSignatureException": manager.Expired, "SignatureDoesNotMatch": manager.Expired, "InvalidClientTokenId": manager.Expired,
	"MissingAuthenticationTokenException": manager.Expired, "InternalServiceError": manager.Unavailable,
}

func judge(status int, body []byte) (manager.Kind, string) {
	var said struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal(body, &said) // otherwise only the status is known
	code := said.Type[strings.LastIndexByte(said.Type, '#')+1:]
	if kind, known := kinds[code]; known {
		return kind, code
	}
	return manager.ByStatus(status), code
}

// call performs one action.
func (s *Secrets) call(ctx context.Context, name, action string, in, out any) error {
	region, err := s.regionOf(ctx, name)
	if err != nil {
		return err
	}
	endpoint := s.Endpoint
	if endpoint == "" {
		endpoint = "https://secretsmanager." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	text, err := s.caller.Do(ctx, manager.Call{
		Method: http.MethodPost, URL: strings.TrimSuffix(endpoint, "/") + "/", Body: body,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"secretsmanager." + action}},
		Sign: func(r *http.Request) error {
			c, err := s.Credentials.Retrieve(r.Context())
			if err != nil {
				return &manager.Error{Manager: "aws-sm", Kind: manager.Expired, Err: errors.New("no AWS credentials were found")}
			}
			return s.signer.SignHTTP(r.Context(), c, r, hex.EncodeToString(sum[:]), "secretsmanager", region, s.Clock())
		},
	})
	if err != nil || out == nil {
		return err
	}
	if json.Unmarshal(text, out) != nil {
		return manager.Unreadable("aws-sm")
	}
	return nil
}

func (s *Secrets) regionOf(ctx context.Context, name string) (string, error) {
	if parts := strings.Split(name, ":"); len(parts) > 6 && parts[0] == "arn" {
		return parts[3], nil
	}
	region, err := s.Region(ctx)
	if err == nil && region == "" {
		err = errors.New("aws-sm: no region is known: set secrets.aws.region or AWS_REGION")
	}
	return region, err
}

// value is one version as the service returns it.
type value struct {
	VersionID string  `json:"VersionId"`
	Text      *string `json:"SecretString"`
	Binary    string  `json:"SecretBinary"`
}

func (v value) text() string {
	if v.Text != nil {
		return *v.Text
	}
	raw, _ := base64.StdEncoding.DecodeString(v.Binary)
	return string(raw)
}

// Fetch reads the AWSCURRENT version, or the one given by NAME?stage=STAGE or
// NAME?version=ID.
func (s *Secrets) Fetch(ctx context.Context, name string) (manager.Secret, error) {
	id, query, _ := strings.Cut(name, "?")
	ask := map[string]string{"SecretId": id}
	which, err := url.ParseQuery(query)
	if err != nil || id == "" {
		return manager.Secret{}, fmt.Errorf("aws-sm: %q is not the name of a secret", name)
	}
	if stage := which.Get("stage"); stage != "" {
		ask["VersionStage"] = stage
	}
	if version := which.Get("version"); version != "" {
		ask["VersionId"] = version
	}
	var got value
	if err := s.call(ctx, id, "GetSecretValue", ask, &got); err != nil {
		return manager.Secret{}, err
	}
	return manager.Secret{Text: secret.New(got.text()), Version: got.VersionID}, nil
}

// mostConflicts is how often a write is attempted when others keep writing at the same time.
const mostConflicts = 5

// Write makes text the current version of the secret NAME, or of a field in NAME#FIELD.
func (s *Secrets) Write(ctx context.Context, place, text string, _ map[string]string) error {
	name, field := manager.Place(place)
	for range mostConflicts {
		var old value
		err := s.call(ctx, name, "GetSecretValue", map[string]string{"SecretId": name}, &old)
		if err != nil && !manager.Is(err, manager.NotFound) && !deleted(err) {
			return err
		}
		fresh, putErr := manager.Put(old.text(), field, text)
		if putErr != nil {
			return putErr
		}
		switch {
		case manager.Is(err, manager.NotFound):
			err = s.call(ctx, name, "CreateSecret", map[string]string{
				"Name": name, "SecretString": fresh,
				"ClientRequestToken": token(name, fresh, ""),
			}, nil)
		case deleted(err):
			if err = s.call(ctx, name, "RestoreSecret", map[string]string{"SecretId": name}, nil); err == nil {
				continue
			}
		case fresh == old.text():
			return nil
		default:
			err = s.promote(ctx, name, fresh, old.VersionID)
		}
		if !manager.Is(err, manager.Conflict) {
			return err
		}
	}
	return &manager.Error{Manager: "aws-sm", Kind: manager.Conflict, Detail: "others write the same secret all the time"}
}

// promote writes a pending version, and makes it current in place of the one that was read.
func (s *Secrets) promote(ctx context.Context, name, text, old string) error {
	var made value
	err := s.call(ctx, name, "PutSecretValue", map[string]any{
		"SecretId": name, "SecretString": text, "ClientRequestToken": token(name, text, old), "VersionStages": []string{"AWSPENDING"},
	}, &made)
	if err != nil {
		return err
	}
	err = s.call(ctx, name, "UpdateSecretVersionStage", map[string]string{
		"SecretId": name, "VersionStage": "AWSCURRENT", "MoveToVersionId": made.VersionID, "RemoveFromVersionId": old,
	}, nil)
	if refused := (*manager.Error)(nil); errors.As(err, &refused) && refused.Detail == "InvalidParameterException" {
		refused.Kind = manager.Conflict // another version has become current
	}
	if err != nil {
		return err
	}
	return s.call(ctx, name, "UpdateSecretVersionStage", map[string]string{
		"SecretId": name, "VersionStage": "AWSPENDING", "RemoveFromVersionId": made.VersionID,
	}, nil)
}

// token is the same for a repeated write, so that a retry creates no second version.
func token(name, text, old string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + text + "\x00" + old))
	return hex.EncodeToString(sum[:])
}

// deleted reports whether a secret is scheduled for deletion.
func deleted(err error) bool {
	e := (*manager.Error)(nil)
	return errors.As(err, &e) && e.Detail == "InvalidRequestException"
}

// Delete removes a field, or schedules the secret for deletion if nothing is left.
func (s *Secrets) Delete(ctx context.Context, place string) error {
	name, field := manager.Place(place)
	var old value
	err := s.call(ctx, name, "GetSecretValue", map[string]string{"SecretId": name}, &old)
	switch {
	case manager.Is(err, manager.NotFound), deleted(err):
		return nil
	case err != nil:
		return err
	}
	if left, some := manager.Without(old.text(), field); some {
		if left == old.text() {
			return nil
		}
		return s.promote(ctx, name, left, old.VersionID)
	}
	return s.call(ctx, name, "DeleteSecret", map[string]any{"SecretId": name, "RecoveryWindowInDays": 7}, nil)
}

// Reach implements manager.Reacher.
func (s *Secrets) Reach(ctx context.Context, use manager.Use) (wide []string, err error) {
	regions := make(map[string]bool)
	for _, name := range use.Names {
		region, err := s.regionOf(ctx, name)
		if err != nil {
			return wide, err
		}
		if regions[region] {
			continue
		}
		regions[region] = true
		absent := manager.Absent()
		if parts := strings.Split(name, ":"); len(parts) > 6 {
			absent = strings.Join(append(parts[:6:6], absent), ":")
		}
		for _, try := range []struct {
			action, may string
			in          map[string]any
		}{
			{"GetSecretValue", "read every secret", map[string]any{"SecretId": absent}},
			{"PutSecretValue", "write every secret", map[string]any{
				"SecretId": absent, "SecretString": "x", "ClientRequestToken": token(absent, "x", ""),
			}},
			{"DeleteSecret", "delete every secret", map[string]any{"SecretId": absent, "RecoveryWindowInDays": 30}},
			{"ListSecrets", "list the names of all secrets", map[string]any{"MaxResults": 1}},
		} {
			may, err := manager.Allowed(s.call(ctx, name, try.action, try.in, nil))
			if err != nil {
				return wide, err
			}
			if may {
				wide = append(wide, "the login may "+try.may+" in "+region+" ("+try.action+")")
			}
		}
	}
	return wide, nil
}
