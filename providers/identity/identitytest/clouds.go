// Package identitytest fakes the services that tell a pod or a machine who it is, at AWS,
// Azure and Google, and those that exchange such tokens for their own, for tests.
package identitytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Clouds serves all of them at one address.
type Clouds struct {
	URL    string
	Client *http.Client // sends requests for any address to this one

	t      testing.TB
	dir    string
	mu     sync.Mutex
	status int // of every response; 0 means the real one
	asked  map[string]int
}

// New starts them, and clears everything from the environment that says who this process is.
func New(t testing.TB) *Clouds {
	t.Helper()
	c := &Clouds{t: t, dir: t.TempDir(), asked: make(map[string]int)}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	c.Client = &http.Client{Transport: toOne{strings.TrimPrefix(s.URL, "http://")}}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(name, prefix) {
				c.set(name, value)
				_ = os.Unsetenv(name)
			}
		}
	}
	c.set("HOME", c.dir)
	c.set("AWS_CONFIG_FILE", filepath.Join(c.dir, "config"))
	c.set("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(c.dir, "credentials"))
	c.set("AWS_EC2_METADATA_DISABLED", "true")
	c.set("AWS_ENDPOINT_URL_STS", c.URL+"/sts")
	return c
}

// set sets an environment variable for the duration of the test.
func (c *Clouds) set(name, value string) {
	c.t.Helper()
	c.t.Setenv(name, value)
}

// File writes a file that only its owner can read.
func (c *Clouds) File(name, text string) string {
	c.t.Helper()
	name = filepath.Join(c.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

// Down makes all of them answer 503.
func (c *Clouds) Down() { c.state(http.StatusServiceUnavailable) }

// Up ends that.
func (c *Clouds) Up() { c.state(0) }

func (c *Clouds) state(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Asked returns how often one of them was called.
func (c *Clouds) Asked(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[name]
}

// AWS makes this process run at AWS: as a pod with a web identity (IRSA), on a machine
// (IMDSv2), in a container (ECS, EKS Pod Identity) or for a developer with a profile.
func (c *Clouds) AWS(as string) {
	c.t.Helper()
	c.set("AWS_REGION", "eu-west-1")
	switch as {
	case "pod":
		c.set("AWS_ROLE_ARN", "arn:aws:iam::1:role/router")
		c.set("AWS_WEB_IDENTITY_TOKEN_FILE", c.File("aws-token", "jwt-of-the-pod"))
	case "machine":
		c.set("AWS_EC2_METADATA_DISABLED", "false")
		c.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", c.URL)
	case "container":
		c.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", c.URL+"/container")
		c.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", c.File("aws-container", "token-of-the-container"))
	case "profile":
		c.set("AWS_PROFILE", "router")
		c.File("credentials", "[router]\naws_access_key_id = ASIAPROFILE\naws_secret_access_key = s\n")
		c.File("config", "[profile router]\nregion = eu-west-1\n")
	}
}

// Azure makes it run at Azure: as a pod with a workload identity, on a machine, or as an app.
func (c *Clouds) Azure(as string) {
	c.t.Helper()
	switch as {
	case "pod":
		c.set("AZURE_CLIENT_ID", "client-1")
		c.set("AZURE_TENANT_ID", "tenant-1")
		c.set("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/")
		c.set("AZURE_FEDERATED_TOKEN_FILE", c.File("azure-token", "jwt-of-the-pod"))
	case "app":
		c.set("IDENTITY_HEADER", "header-1")
		c.set("IDENTITY_ENDPOINT", c.URL+"/app-service")
	}
}

// Google makes it run at Google Cloud: on a machine, or elsewhere with a federated identity.
func (c *Clouds) Google(as string) {
	c.t.Helper()
	switch as {
	case "machine":
		c.set("GCE_METADATA_HOST", strings.TrimPrefix(c.URL, "http://"))
	case "federated":
		file, _ := json.Marshal(map[string]any{ //nolint:gosec // names, and no secret
			"type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
			"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": c.URL + "/google-sts",
			"credential_source": map[string]string{"file": c.File("google-token", "jwt-of-the-pod")},
		})
		c.set("GOOGLE_APPLICATION_CREDENTIALS", c.File("adc.json", string(file)))
	}
}

const neverEnds = "2099-01-01T00:00:00Z"

// ServeHTTP answers for all of them.
func (c *Clouds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := c.answer(w, r)
	c.mu.Lock()
	c.asked[reply.name]++
	over := c.status
	c.mu.Unlock()
	if over != 0 {
		reply.status, reply.body = over, "down"
	}
	w.WriteHeader(reply.status)
	_, _ = io.WriteString(w, reply.body)
}

func (c *Clouds) answer(w http.ResponseWriter, r *http.Request) reply {
	path := r.URL.Path
	w.Header().Set("Content-Type", "application/json")
	switch {
	case path == "/sts" || path == "/sts/":
		return sts(r)
	case strings.HasPrefix(path, "/latest/"):
		return imds(w, r)
	case path == "/container":
		return given("container", awsKeys("ASIACONTAINER")).to(r.Header.Get("Authorization"), "token-of-the-container")
	case path == "/app-service":
		return given("app-service", azureToken("azure-app", r.URL.Query().Get("resource"))).
			to(r.Header.Get("X-Identity-Header"), "header-1")
	case path == "/metadata/identity/oauth2/token":
		return given("azure-imds", azureToken("azure-machine", r.URL.Query().Get("client_id"))).to(r.Header.Get("Metadata"), "true")
	case strings.HasPrefix(path, "/tenant-1/"), strings.HasPrefix(path, "/common/"):
		return entra(r)
	case strings.HasPrefix(path, "/computeMetadata/"):
		return google(w, r)
	case path == "/google-sts":
		return given("google-sts", `{"access_token":"google-federated","expires_in":3600,"token_type":"Bearer",`+
			`"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`).
			to(r.FormValue("grant_type")+" "+r.FormValue("subject_token"), exchangeGrant+" jwt-of-the-pod")
	case path == "/openai/oauth/token", path == "/anthropic/v1/oauth/token":
		return exchanged(r)
	}
	return reply{"nobody", http.StatusNotFound, "{}"}
}

// reply is a response from one of them.
type reply struct {
	name   string
	status int
	body   string
}

// to returns the reply if the caller shows what is wanted, and a refusal otherwise.
func (r reply) to(shown, wanted string) reply {
	if shown != wanted {
		return reply{r.name, http.StatusUnauthorized, `{"error":"invalid_request"}`}
	}
	return r
}

func given(name, body string) reply { return reply{name, http.StatusOK, body} }

func awsKeys(id string) string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"s","Token":"t","Expiration":%q}`, id, neverEnds)
}

func azureToken(text, about string) string {
	return fmt.Sprintf(`{"access_token":"%s of %s","expires_on":"4070908800","expires_in":"86400","resource":"r","token_type":"Bearer"}`,
		text, about)
}

// sts issues keys for a web identity, and proofs of identity to callers with signed requests.
func sts(r *http.Request) reply {
	switch r.FormValue("Action") {
	case "AssumeRoleWithWebIdentity":
		return given("sts", `<AssumeRoleWithWebIdentityResponse>`+
			`<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAPOD</AccessKeyId><SecretAccessKey>s</SecretAccessKey>`+
			`<SessionToken>t</SessionToken><Expiration>`+neverEnds+`</Expiration></Credentials></AssumeRoleWithWebIdentityResult>`+
			`</AssumeRoleWithWebIdentityResponse>`).to(r.FormValue("WebIdentityToken"), "jwt-of-the-pod")
	case "GetWebIdentityToken":
		_, signed, _ := strings.Cut(strings.SplitN(r.Header.Get("Authorization"), ",", 2)[0], "/sts/")
		return given("sts-proof", `<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>proof of aws for `+
			r.FormValue("Audience.member.1")+`</WebIdentityToken><Expiration>`+neverEnds+`</Expiration></GetWebIdentityTokenResult>`+
			`</GetWebIdentityTokenResponse>`).to(signed+" "+r.FormValue("SigningAlgorithm"), "aws4_request RS256")
	}
	return reply{"sts", http.StatusBadRequest, "<ErrorResponse/>"}
}

// imds returns nothing without a token that a plain request can't get (version 2).
func imds(w http.ResponseWriter, r *http.Request) reply {
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/latest/api/token") {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		return given("imds-token", "imds-token")
	}
	shown := r.Header.Get("X-Aws-Ec2-Metadata-Token")
	if strings.HasSuffix(r.URL.Path, "/security-credentials/router") {
		return given("imds", awsKeys("ASIAMACHINE")).to(shown, "imds-token")
	}
	return given("imds-role", "router").to(shown, "imds-token")
}

// entra issues tokens for federated ones.
func entra(r *http.Request) reply {
	host := "https://login.microsoftonline.com"
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		return given("entra-discovery", `{"tenant_discovery_endpoint":"`+host+`/tenant-1/v2.0/.well-known/openid-configuration",`+
			`"metadata":[{"preferred_network":"login.microsoftonline.com","preferred_cache":"login.windows.net",`+
			`"aliases":["login.microsoftonline.com"]}]}`)
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		return given("entra-discovery", `{"token_endpoint":"`+host+`/tenant-1/oauth2/v2.0/token","issuer":"`+host+
			`/tenant-1/v2.0","authorization_endpoint":"`+host+`/tenant-1/oauth2/v2.0/authorize"}`)
	}
	return given("entra", fmt.Sprintf(`{"access_token":"azure-pod of %s","expires_in":86399,"ext_expires_in":86399,"token_type":"Bearer"}`,
		url.QueryEscape(strings.Fields(r.FormValue("scope") + " -")[0]))).
		to(r.FormValue("client_id")+" "+r.FormValue("client_assertion"), "client-1 jwt-of-the-pod")
}

// google acts as the metadata server of a machine.
func google(w http.ResponseWriter, r *http.Request) reply {
	w.Header().Set("Metadata-Flavor", "Google")
	shown := r.Header.Get("Metadata-Flavor")
	switch {
	case strings.HasSuffix(r.URL.Path, "/identity"):
		return given("google-proof", "proof of google for "+r.URL.Query().Get("audience")).to(shown, "Google")
	case strings.HasSuffix(r.URL.Path, "/token"):
		return given("google", `{"access_token":"google-machine","expires_in":3600,"token_type":"Bearer"}`).to(shown, "Google")
	}
	return given("google-about", "x")
}

// exchanged acts as OpenAI and Anthropic: each issues a token that names the token given.
func exchanged(r *http.Request) reply {
	var body map[string]string
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return reply{"exchange", http.StatusBadRequest, `{"error":"invalid_request"}`}
	}
	if strings.HasPrefix(r.URL.Path, "/openai/") {
		shown := []string{body["grant_type"], body["subject_token_type"], body["identity_provider_id"], body["service_account_id"]}
		return given("openai", tokenFor("openai", body["subject_token"])).to(strings.Join(shown, " "),
			exchangeGrant+" urn:ietf:params:oauth:token-type:jwt idp_1 sa_1")
	}
	shown := []string{body["grant_type"], body["federation_rule_id"], body["organization_id"], r.Header.Get("Anthropic-Beta")}
	return given("anthropic", tokenFor("anthropic", body["assertion"])).to(strings.Join(shown, " "),
		"urn:ietf:params:oauth:grant-type:jwt-bearer fdrl_1 org_1 oauth-2025-04-20,oidc-federation-2026-04-01")
}

const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"

func tokenFor(whose, proof string) string {
	return fmt.Sprintf(`{"access_token":"%s for %s","expires_in":3600,"token_type":"Bearer"}`, whose, proof)
}

// toOne sends every request to one host.
type toOne struct{ host string }

func (o toOne) RoundTrip(r *http.Request) (*http.Response, error) {
	to := r.Clone(r.Context())
	to.URL.Scheme, to.URL.Host = "http", o.host
	return http.DefaultTransport.RoundTrip(to)
}
