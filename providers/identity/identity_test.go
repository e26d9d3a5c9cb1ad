package identity_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tallyroute/providers/identity"
)

// alone takes everything away that would say who we are.
func alone(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE",
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT",
	} {
		t.Setenv(name, "") // which puts it back afterwards
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	return home
}

func answers(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(s.Close)
	return s.URL
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestAWSRoleOfAPod: a web identity is exchanged for the role's credentials, once.
func TestAWSRoleOfAPod(t *testing.T) {
	home := alone(t)
	var calls atomic.Int64
	t.Setenv("AWS_ENDPOINT_URL_STS", answers(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != "jwt-1" ||
			r.FormValue("RoleArn") != "arn:aws:iam::1:role/router" {
			t.Errorf("asked %v", r.Form)
		}
		_, _ = io.WriteString(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>`+
			`<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>`+
			`<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
	}))
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/router")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", written(t, filepath.Join(home, "token"), "jwt-1"))
	chain := &identity.Chain{}
	for range 3 {
		if c, err := chain.Retrieve(t.Context()); err != nil || c.AccessKeyID != "ASIA1" || c.SessionToken != "t" {
			t.Fatalf("%v, %v", c.AccessKeyID, err)
		}
	}
	if region, err := chain.Home(t.Context()); err != nil || region != "eu-west-1" || calls.Load() != 1 {
		t.Errorf("%s, %v, %d calls", region, err, calls.Load())
	}
}

// TestAWSRoleOfAMachine is asked for by IMDSv2: with a token that a plain request cannot get.
func TestAWSRoleOfAMachine(t *testing.T) {
	alone(t)
	t.Setenv("AWS_ROLE_ARN", "")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", answers(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = io.WriteString(w, "imds-token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
			_, _ = io.WriteString(w, "router")
		case strings.HasSuffix(r.URL.Path, "/security-credentials/router"):
			_, _ = io.WriteString(w, `{"Code":"Success","AccessKeyId":"ASIA2","SecretAccessKey":"s","Token":"t",`+
				`"Expiration":"2099-01-01T00:00:00Z"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	if c, err := (&identity.Chain{Region: "eu-west-1"}).Retrieve(t.Context()); err != nil || c.AccessKeyID != "ASIA2" {
		t.Errorf("%v, %v", c.AccessKeyID, err)
	}
}

func TestAWSProfile(t *testing.T) {
	home := alone(t)
	t.Setenv("AWS_PROFILE", "router")
	written(t, filepath.Join(home, "credentials"), "[router]\naws_access_key_id = AKIA3\naws_secret_access_key = s\nregion = us-east-2\n")
	written(t, filepath.Join(home, "config"), "[profile router]\nregion = us-east-2\n")
	chain := &identity.Chain{}
	c, err := chain.Retrieve(t.Context())
	region, _ := chain.Home(t.Context())
	if err != nil || c.AccessKeyID != "AKIA3" || region != "us-east-2" {
		t.Errorf("%v in %s, %v", c.AccessKeyID, region, err)
	}
}

func TestAzureManagedIdentity(t *testing.T) {
	alone(t)
	t.Setenv("IDENTITY_HEADER", "header-1")
	t.Setenv("IDENTITY_ENDPOINT", answers(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Identity-Header") != "header-1" || r.URL.Query().Get("resource") != "https://vault.azure.net" {
			t.Errorf("asked for %s", r.URL)
		}
		_, _ = io.WriteString(w, `{"access_token":"azure-1","expires_on":"4070908800","resource":"https://vault.azure.net",`+
			`"token_type":"Bearer"}`)
	}))
	token := identity.Azure("https://vault.azure.net/.default")
	for range 2 {
		if got, err := token(t.Context()); err != nil || got != "azure-1" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestGoogleFederation: a token of another identity provider is exchanged.
func TestGoogleFederation(t *testing.T) {
	home := alone(t)
	at := answers(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("subject_token") != "jwt-2" || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
			t.Errorf("asked %v", r.Form)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"google-1","expires_in":3600,"token_type":"Bearer",`+
			`"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`)
	})
	file, err := json.Marshal(map[string]any{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": at,
		"credential_source": map[string]string{"file": written(t, filepath.Join(home, "token"), "jwt-2")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", written(t, filepath.Join(home, "adc.json"), string(file)))
	token := identity.Google()
	for range 2 {
		if got, err := token(t.Context()); err != nil || got != "google-1" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestGoogleMachine(t *testing.T) {
	alone(t)
	at := answers(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" || !strings.HasSuffix(r.URL.Path, "/service-accounts/default/token") {
			_, _ = io.WriteString(w, "x")
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"google-2","expires_in":3600,"token_type":"Bearer"}`)
	})
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(at, "http://"))
	if got, err := identity.Google()(t.Context()); err != nil || got != "google-2" {
		t.Errorf("%q, %v", got, err)
	}
}
