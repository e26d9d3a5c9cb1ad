package aws_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"tallyroute/providers/secret/aws"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/secret/secrettest"
)

type keys struct{ sdk.Credentials }

func (k keys) Retrieve(context.Context) (sdk.Credentials, error) {
	if k.AccessKeyID == "" {
		return sdk.Credentials{}, errors.New("none")
	}
	return k.Credentials, nil
}

func start(t *testing.T) (*secrettest.AWS, func(keys) *aws.Secrets, *aws.Secrets) {
	server := secrettest.NewAWS(t)
	server.Session = "session"
	open := func(k keys) *aws.Secrets {
		return aws.New(aws.Options{
			Endpoint: server.URL, Credentials: k, Client: server.Client,
			Region: func(context.Context) (string, error) { return "eu-west-1", nil },
			Pause:  func(context.Context, time.Duration) error { return nil },
		})
	}
	good := keys{sdk.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "test-key", SessionToken: "session"}}
	return server, open, open(good)
}

func TestAWSReadsStagesAndVersions(t *testing.T) {
	server, _, s := start(t)
	server.Put("router/openai", "v1", "one")
	server.Put("router/openai", "v2", "two")
	for name, want := range map[string]string{
		"router/openai": "two", "router/openai?stage=AWSPREVIOUS": "one", "router/openai?version=v1": "one",
	} {
		if got, err := s.Fetch(t.Context(), name); err != nil || got.Text.Reveal() != want {
			t.Errorf("%s: %s of %s, %v", name, got.Text.Reveal(), got.Version, err)
		}
	}
	arn := "arn:aws:secretsmanager:eu-west-1:1:secret:other"
	server.Put(arn, "v1", "by its ARN")
	if got, err := s.Fetch(t.Context(), arn); err != nil || got.Text.Reveal() != "by its ARN" {
		t.Error(got, err)
	}
}

func TestAWSTellsWhatIsWrong(t *testing.T) {
	server, open, s := start(t)
	server.Put("x", "v1", "one")
	for name, c := range map[string]struct {
		s    *aws.Secrets
		name string
		want manager.Kind
	}{
		"not there":  {s, "none", manager.NotFound},
		"no version": {s, "x?version=none", manager.NotFound},
		"other key":  {open(keys{sdk.Credentials{AccessKeyID: "OTHER", SecretAccessKey: "k"}}), "x", manager.Expired},
		"wrong secret": {
			open(keys{sdk.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "k", SessionToken: "session"}}), "x",
			manager.Expired,
		},
		"expired": {
			open(keys{sdk.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "test-key", SessionToken: "old"}}), "x",
			manager.Expired,
		},
		"no key": {open(keys{}), "x", manager.Expired},
	} {
		if _, err := c.s.Fetch(t.Context(), c.name); !manager.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	throttled := secrettest.Fault{Status: http.StatusBadRequest, Body: `{"__type":"ThrottlingException"}`}
	server.Fail(throttled, throttled)
	if _, err := s.Fetch(t.Context(), "x"); err != nil {
		t.Errorf("throttled twice: %v", err)
	}
	server.Fail(secrettest.Fault{
		Status: http.StatusBadRequest,
		Body:   `{"__type":"AccessDeniedException","Message":"arn:… is not authorized"}`,
	})
	if _, err := s.Fetch(t.Context(), "x"); !manager.Is(err, manager.Denied) {
		t.Error(err)
	}
}

// A version is written as pending and then made current. If another version became current
// meanwhile, the write starts over.
func TestAWSPromotesWhatItWrites(t *testing.T) {
	server, _, s := start(t)
	write := func(place, text string) {
		t.Helper()
		if err := s.Write(t.Context(), place, text, nil); err != nil {
			t.Fatal(err)
		}
	}
	write("keys/web", "first")
	write("keys/web", "second")
	write("keys/web", "second")
	if text, stages := server.Current("keys/web"); text != "second" || strings.Join(stages, " ") != "AWSCURRENT AWSPREVIOUS" {
		t.Errorf("%s with %q", text, stages)
	}
	server.Put("keys/app", "v1", `{"other":"a"}`)
	once := true
	server.Before = func(action string) {
		if action == "UpdateSecretVersionStage" && once {
			once = false
			server.Secrets["keys/app"].Versions["v2"] = `{"other":"b"}`
			server.Secrets["keys/app"].Stages["AWSCURRENT"] = "v2"
		}
	}
	write("keys/app#token", "new")
	if text, _ := server.Current("keys/app"); text != `{"other":"b","token":"new"}` {
		t.Errorf("somebody else's change is lost: %s", text)
	}
	for range 2 {
		if err := s.Delete(t.Context(), "keys/app#token"); err != nil {
			t.Error(err)
		}
		if err := s.Delete(t.Context(), "keys/web"); err != nil {
			t.Error(err)
		}
	}
	if text, _ := server.Current("keys/app"); text != `{"other":"b"}` || !server.Secrets["keys/web"].Deleted {
		t.Errorf("after deleting: %s", text)
	}
	write("keys/web", "back")
	if text, _ := server.Current("keys/web"); text != "back" {
		t.Errorf("after it was restored: %s", text)
	}
}

// TestAWSTellsOfLoginsThatReachTooFar: what a login may do besides is named, and nothing is changed.
func TestAWSTellsOfLoginsThatReachTooFar(t *testing.T) {
	server, _, s := start(t)
	server.Put("app/openai", "v1", "one")
	use := manager.Use{Names: []string{"app/openai", "app/openai?stage=AWSPREVIOUS"}, Places: []string{"app/keys"}}
	server.May = func(action, name string) bool { return action == "read" && name == "app/openai" }
	if wide, err := s.Reach(t.Context(), use); err != nil || len(wide) != 0 {
		t.Errorf("a narrow login: %q, %v", wide, err)
	}
	server.May = nil
	wide, err := s.Reach(t.Context(), use)
	if text := strings.Join(wide, "\n"); err != nil || len(wide) != 4 || !strings.Contains(text, "read every secret in eu-west-1") {
		t.Errorf("a wide login: %q, %v", wide, err)
	}
}
