package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tallyroute"

// layers says which of our packages each package may import. A package that is
// not here has not been thought about yet.
var layers = map[string][]string{
	"providers/jsonraw":           {},
	"providers/sse":               {},
	"providers/secret":            {},
	"providers/sink":              {},
	"providers/nearest":           {},
	"router/health":               {},
	"router/limit":                {},
	"router/certificate":          {},
	"router/certificate/certtest": {},
	"billing":                     {"billing/access", "billing/anomaly", "billing/policy"},
	"billing/access":              {},
	"router/brake":                {},
	"billing/anomaly":             {"billing/access"},
	"billing/policy":              {},
	"billing/ephemeral":           {"billing", "billing/policy"},
	"billing/journal":             {},
	"migrations":                  {},
	"providers/syslog":            {},

	"providers/secret/manager":        {"providers/secret"},
	"providers/secret/vault":          {"providers/secret", "providers/secret/manager"},
	"providers/secret/kubernetes":     {"providers/secret", "providers/secret/manager"},
	"providers/secret/aws":            {"providers/secret", "providers/secret/manager"},
	"providers/secret/azure":          {"providers/secret", "providers/secret/manager"},
	"providers/secret/google":         {"providers/secret", "providers/secret/manager"},
	"providers/secret/conjur":         {"providers/secret", "providers/secret/manager"},
	"providers/identity":              {},
	"providers/secret/age":            {},
	"providers/identity/identitytest": {},
	"providers/secret/secrettest":     {},
	"providers/secret/envelope":       {},

	"providers/chat":   {"providers/jsonraw"},
	"providers/schema": {"providers/jsonraw"},
	"providers":        {"providers/chat", "providers/jsonraw"},
	"providers/auth":   {"providers"},
	"providers/notify": {"providers", "providers/sink"},
	"providers/openai": {"providers", "providers/chat", "providers/jsonraw", "providers/schema", "providers/sse"},
	"providers/anthropic": {
		"providers", "providers/chat", "providers/jsonraw", "providers/schema", "providers/sse",
		"providers/translate",
	},
	"providers/translate": {"providers", "providers/chat", "providers/jsonraw", "providers/schema", "providers/sse"},
	"providers/gemini": {
		"providers", "providers/chat", "providers/jsonraw", "providers/schema", "providers/sse",
		"providers/translate",
	},
	"providers/cohere":       {"providers", "providers/chat", "providers/jsonraw", "providers/schema", "providers/translate"},
	"providers/ollama":       {"providers", "providers/chat", "providers/jsonraw", "providers/translate"},
	"providers/vertex":       {"providers", "providers/anthropic", "providers/chat", "providers/jsonraw", "providers/gemini"},
	"providers/responses":    {"providers", "providers/chat", "providers/jsonraw", "providers/openai", "providers/translate"},
	"providers/providertest": {"providers", "providers/chat", "providers/jsonraw", "providers/sse", "billing/billingtest/prove"},
	"providers/bedrock": {
		"providers", "providers/anthropic", "providers/chat", "providers/jsonraw", "providers/schema",
		"providers/translate",
	},
	"providers/scripted":            {},
	"providers/catalogue/published": {"billing"},
	"providers/catalogue": {
		"providers", "providers/catalogue/published", "providers/anthropic", "providers/auth",
		"providers/bedrock", "providers/cohere", "providers/gemini", "providers/ollama", "providers/openai", "providers/responses",
		"providers/identity", "providers/nearest", "providers/secret", "providers/vertex", "billing",
	},

	"billing/breakdown":  {"billing"},
	"billing/integrity":  {"billing", "billing/breakdown"},
	"billing/audit":      {"billing"},
	"billing/rbac":       {"billing", "billing/policy"},
	"billing/alert":      {"billing"},
	"billing/governance": {"billing", "billing/policy"},
	"billing/manage": {
		"billing", "billing/access", "billing/anomaly", "billing/alert", "billing/audit", "billing/governance",
		"billing/policy", "billing/rbac",
	},
	"billing/lease": {"billing", "billing/journal"},
	"billing/postgres": {
		"billing", "billing/access", "billing/anomaly", "billing/audit", "billing/breakdown", "billing/integrity",
		"billing/policy", "migrations",
	},
	"billing/sqlite": {
		"billing", "billing/access", "billing/anomaly", "billing/audit", "billing/breakdown", "billing/integrity",
		"billing/policy", "migrations",
	},
	"billing/billingtest": {
		"billing", "billing/access", "billing/anomaly", "billing/audit", "billing/billingtest/prove", "billing/manage", "billing/policy",
		"billing/rbac",
	},
	"billing/postgres/pgtest":   {"billing/billingtest/prove"},
	"billing/billingtest/prove": {},

	"router/tokens":      {"providers/chat", "providers/jsonraw"},
	"router/plan":        {"router/tokens", "router/health", "providers", "providers/chat", "providers/jsonraw", "billing"},
	"router/meter":       {"router/plan", "router/tokens", "providers", "providers/chat", "billing"},
	"router/idempotency": {"billing"},
	"router/fingerprint": {"providers/chat", "billing"},
	"router/messages":    {"providers", "providers/chat", "providers/jsonraw", "providers/sse", "providers/translate"},
	"router/responses":   {"providers", "providers/chat", "providers/jsonraw", "providers/sse", "providers/translate"},
	"router": {
		"router/brake", "router/plan", "router/meter", "router/idempotency", "router/tokens", "router/health", "router/limit",
		"providers", "providers/chat", "billing", "billing/ephemeral", "billing/policy",
	},
	"router/federation": {"billing", "billing/ephemeral", "billing/policy"},
	"router/kept":       {"providers/jsonraw", "providers/secret/envelope", "billing", "billing/ephemeral"},
	"router/server": {
		"router", "router/brake", "router/federation", "router/web", "router/messages", "router/responses", "router/tokens",
		"router/limit", "router/plan",
		"router/idempotency", "router/kept",
		"providers", "providers/chat",
		"providers/jsonraw", "providers/sse", "billing", "billing/access", "billing/ephemeral", "billing/governance", "billing/manage",
		"billing/policy",
	},
	"router/leaks":                 {"billing/manage"},
	"router/web":                   {"router/limit", "billing"},
	"router/identity":              {},
	"router/identity/identitytest": {},
	"router/admin/wire":            {"billing"},
	"router/admin": {
		"router/admin/wire", "router/idempotency", "router/identity", "router/web", "router/limit", "billing", "billing/access",
		"billing/governance", "billing/manage", "billing/policy", "billing/rbac",
	},

	"cmd/tallyroute/config": {
		"billing", "billing/alert", "billing/rbac", "billing/policy", "billing/journal", "providers",
		"providers/chat", "providers/nearest", "providers/secret", "router/federation",
	},
	"cmd/tallyroute/logs":     {"billing", "cmd/tallyroute/config", "router"},
	"cmd/tallyroute/metrics":  {"billing", "providers/secret/manager", "router", "router/health", "router/limit"},
	"cmd/tallyroute/app":      {"*"},
	"cmd/tallyroute/client":   {},
	"cmd/tallyroute/adminapi": {},
	"cmd/tallyroute/signin":   {"cmd/tallyroute/adminapi"},
	"cmd/tallyroute/connect":  {},
	"cmd/tallyroute/upstream": {
		"billing", "billing/manage", "providers", "providers/catalogue", "providers/chat", "providers/secret", "providers/secret/envelope",
		"router",
	},
	"cmd/tallyroute/managers": {
		"cmd/tallyroute/config", "providers/identity", "providers/secret", "providers/secret/age", "providers/secret/aws",
		"providers/secret/azure",
		"providers/secret/conjur", "providers/secret/google", "providers/secret/kubernetes", "providers/secret/manager",
		"providers/secret/vault",
	},
	"cmd/tallyroute/demo": {
		"billing", "billing/manage", "cmd/tallyroute/app", "cmd/tallyroute/client", "providers/chat", "router/tokens",
	},
	"cmd/tallyroute/countries": {},
	"cmd/tallyroute/cli":       {"*"},
	"cmd/tallyroute/doctor": {
		"billing", "billing/manage", "cmd/tallyroute/app", "cmd/tallyroute/cli", "cmd/tallyroute/config", "router/certificate",
	},
	"cmd/tallyroute/finance": {
		"billing", "billing/manage", "cmd/tallyroute/adminapi", "cmd/tallyroute/cli", "cmd/tallyroute/config",
	},
	"cmd/tallyroute/keys": {
		"billing", "billing/manage", "billing/policy", "router/admin",
		"cmd/tallyroute/adminapi", "cmd/tallyroute/app", "cmd/tallyroute/cli", "cmd/tallyroute/config", "cmd/tallyroute/finance",
	},
	"cmd/tallyroute/people": {
		"billing", "billing/audit", "billing/governance", "billing/manage", "router/admin",
		"cmd/tallyroute/adminapi", "cmd/tallyroute/app", "cmd/tallyroute/cli", "cmd/tallyroute/config", "cmd/tallyroute/finance",
		"cmd/tallyroute/signin",
	},
	"cmd/tallyroute/watch": {
		"billing", "billing/access", "billing/anomaly", "billing/manage", "cmd/tallyroute/adminapi", "cmd/tallyroute/cli",
		"cmd/tallyroute/config", "cmd/tallyroute/countries", "router/admin",
	},
	"cmd/tallyroute/offers": {
		"billing", "cmd/tallyroute/app", "cmd/tallyroute/cli", "cmd/tallyroute/config", "providers", "providers/catalogue",
		"providers/catalogue/published", "providers/chat", "router", "router/admin", "router/plan",
		"billing/manage", "cmd/tallyroute/adminapi", "providers/secret", "providers/secret/age", "providers/secret/envelope",
	},
	"cmd/tallyroute/agents": {},
	"cmd/tallyroute":        {"*"},
	"cmd/routebench":        {},
	"cmd/corpus":            {"providers/catalogue", "providers/secret", "billing", "billing/sqlite"},
	"examples":              {},
}

// testLayers is what the tests of a package may import besides: suites and
// harnesses, and the real parts where a test is about their meeting.
var testLayers = map[string][]string{
	"*": {
		"billing/billingtest", "billing/billingtest/prove", "billing/postgres/pgtest", "providers/providertest",
		"providers/secret/secrettest", "providers/identity/identitytest", "router/certificate/certtest",
	},
	"billing/billingtest": {"billing/sqlite"},
	"billing/lease":       {"billing/sqlite", "billing/postgres"},
	"providers":           {"providers/auth", "providers/openai", "providers/sse"},
	"providers/openai":    {"providers/catalogue", "providers/secret"},
	"providers/catalogue": {"providers/chat"},
	"router": {
		"router/fingerprint", "billing/sqlite", "providers/jsonraw", "providers/openai", "providers/sse",
		"providers/catalogue",
	},
	"router/plan":             {"providers/openai"},
	"cmd/tallyroute/upstream": {"billing/sqlite", "billing/governance", "router/kept"},
	"router/server": {
		"billing/sqlite", "providers/openai", "providers/anthropic", "providers/bedrock", "providers/cohere", "providers/gemini",
		"providers/ollama", "providers/responses", "providers/vertex",
		"providers/catalogue", "providers/scripted", "providers/secret/envelope", "router/tokens", "router/health", "router/limit",
		"router/certificate",
	},
	"cmd/tallyroute/agents": {"providers/scripted"},
	"router/identity":       {"router/identity/identitytest"},
	"router/admin":          {"billing/sqlite", "router/server", "router/identity/identitytest"},
	"router/tokens":         {"providers"},
	"router/web":            {"router/certificate"},
}

// fences says where each module of the outside world may be imported. "test"
// stands for the test files of every package and the packages that only tests
// use, "*" for everywhere.
var fences = map[string][]string{
	"github.com/gin-gonic/gin":             {"router/web", "router/server", "router/admin"},
	"github.com/jackc/pgx":                 {"billing/postgres", "billing/postgres/pgtest"},
	"github.com/ncruces/go-sqlite3":        {"billing/sqlite"},
	"github.com/expr-lang/expr":            {"billing/policy"},
	"github.com/oschwald/maxminddb-golang": {"cmd/tallyroute/countries"},
	"github.com/pkoukk/tiktoken-go":        {"router/tokens"},
	"github.com/pkoukk/tiktoken-go-loader": {"router/tokens"},
	"go.uber.org/zap": {
		"cmd/tallyroute/app", "cmd/tallyroute/logs", "router/web", "router/server", "router/leaks",
		"router/admin", "test",
	},
	"github.com/sashabaranov/go-openai":     {"cmd/tallyroute", "cmd/tallyroute/client", "test", "examples"},
	"github.com/wneessen/go-mail":           {"providers/notify"},
	"github.com/pelletier/go-toml":          {"cmd/tallyroute/connect", "test"},
	"github.com/tailscale/hujson":           {"cmd/tallyroute/connect"},
	"github.com/goccy/go-yaml":              {"cmd/tallyroute/config", "providers/catalogue", "test"},
	"github.com/prometheus/client_golang":   {"cmd/tallyroute/metrics", "test"},
	"github.com/prometheus/client_model":    {"cmd/tallyroute/metrics"},
	"github.com/alecthomas/kong":            {"cmd/tallyroute"},
	"github.com/santhosh-tekuri/jsonschema": {"test"},
	"github.com/rogpeppe/go-internal":       {"test"},
	"go.uber.org/goleak":                    {"test"},
	"github.com/openai/openai-go":           {"test", "examples"},
	"github.com/aws/aws-sdk-go-v2": {
		"providers/auth", "providers/bedrock", "providers/identity", "providers/scripted",
		"providers/secret/aws",
	},
	"github.com/aws/smithy-go":          {"providers/identity"},
	"github.com/Azure/azure-sdk-for-go": {"providers/identity"},
	"cloud.google.com/go/compute":       {"providers/identity"},
	"filippo.io/age":                    {"providers/secret/age"},
	"golang.org/x/tools":                {"test", "providers/providertest"},
	"github.com/oklog/ulid":             {"*"},
	"github.com/google/uuid":            {"*"},
	"github.com/coreos/go-oidc":         {"router/identity", "router/federation"},
	"golang.org/x/oauth2":               {"router/identity", "providers/identity"},
	"github.com/go-jose/go-jose":        {"test", "router/federation"},
	"golang.org/x/net":                  {"*"},
	"golang.org/x/sync":                 {"*"},
}

// source is one Go file of the project.
type source struct {
	path, pkg string // from the project's root; pkg is the folder
	test      bool
	text      []byte
	file      *ast.File
	fset      *token.FileSet
}

// sources parses every Go file of the project.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		all = append(all, source{rel, path.Dir(rel), strings.HasSuffix(base, "_test.go"), text, file, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(all))
	}
	return all
}

// layerOf returns the table row for a package; everything below examples shares one row.
func layerOf(pkg string) string {
	if pkg == "examples" || strings.HasPrefix(pkg, "examples/") {
		return "examples"
	}
	return pkg
}

func TestLayers(t *testing.T) {
	for _, s := range sources(t) {
		pkg := layerOf(s.pkg)
		may, known := layers[pkg]
		if !known {
			t.Errorf("%s: package %s has no row in the layer table: add one to layers here, and to docs/architecture.md", s.path, pkg)
			continue
		}
		if s.test {
			may = slices.Concat(may, testLayers["*"], testLayers[pkg], []string{pkg})
		}
		for _, spec := range s.file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(name, module+"/"); ok {
				if !slices.Contains(may, ours) && !slices.Contains(may, "*") {
					t.Errorf("%s may not import %s by the layer table (layers here, and docs/architecture.md)", s.path, name)
				}
				continue
			}
			checkFence(t, s, pkg, name)
		}
	}
}

// checkFence refuses an import from outside that is not allowed in this place.
func checkFence(t *testing.T, s source, pkg, name string) {
	t.Helper()
	if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
		return // the standard library
	}
	for fenced, places := range fences {
		if name != fenced && !strings.HasPrefix(name, fenced+"/") {
			continue
		}
		allowed := slices.Contains(places, "*") || slices.Contains(places, pkg) || (s.support() && slices.Contains(places, "test"))
		if !allowed {
			t.Errorf("%s may not import %s", s.path, name)
		}
		return
	}
	t.Errorf("%s imports %s, which has no row in the table of fences", s.path, name)
}

// TestLayersOfTable keeps the table itself honest: no row for a package that is
// gone, and no way around a layer.
func TestLayersOfTable(t *testing.T) {
	present := make(map[string]bool)
	for _, s := range sources(t) {
		present[layerOf(s.pkg)] = true
	}
	for pkg, may := range layers {
		if !present[pkg] {
			t.Errorf("the layer table has a row for %s, which has no Go file", pkg)
		}
		for _, other := range may {
			if strings.HasPrefix(pkg, "providers") && other == "billing" && !strings.HasPrefix(pkg, "providers/catalogue") {
				t.Errorf("%s and billing may meet only in router and providers/catalogue", pkg)
			}
		}
	}
}
