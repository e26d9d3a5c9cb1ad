package openai

import (
	"net/url"
	"strings"

	"tallyroute/providers"
)

// Azure is the adapter of Azure OpenAI and of the models of Azure AI Foundry: the
// format at paths of their own, with an API version.
func Azure() providers.Adapter {
	d := dialect{path: azurePath, rewrite: azureRequest}
	return providers.Adapter{Chat: completions{d}, Embed: embeddings{dialect: d}, Quirks: providers.Quirks{Members: members()}}
}

// azurePath is where an operation is called below a base URL, which may end in the
// common part of all paths or be the bare host. Quirks.APIVersion says how: with a
// dated one, such as 2024-10-21, a deployment is named in the path; with "", "v1" or
// "preview" it is the model of the unversioned API. Quirks.Path goes before either.
func azurePath(t providers.Target, what string) string {
	version := t.Quirks.APIVersion
	dated := version != "" && version != "v1" && version != "preview"
	query := ""
	if version != "" && version != "v1" {
		query = "?api-version=" + url.QueryEscape(version)
	}
	if t.Quirks.Path != "" {
		if before, ok := strings.CutSuffix(t.Quirks.Path, completionsPath); ok {
			return before + what + query
		}
		return t.Quirks.Path + query
	}
	prefix := "/openai"
	if strings.HasSuffix(t.BaseURL, "/openai") || strings.HasSuffix(t.BaseURL, "/openai/v1") {
		prefix = ""
	}
	switch {
	case dated:
		return prefix + "/deployments/" + url.PathEscape(t.Upstream) + what + query
	case !strings.HasSuffix(t.BaseURL, "/v1"):
		prefix += "/v1"
	}
	return prefix + what + query
}
