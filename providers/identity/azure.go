package identity

import (
	"context"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// azure returns a source of Microsoft Entra ID tokens for a scope: through a workload
// identity, a managed identity, the environment, or a developer's tools. If a client is
// named, only the first two are tried.
func azure(scope, client string, over *http.Client) Token {
	var found lazily[azcore.TokenCredential]
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		c, err := found.get(func() (azcore.TokenCredential, error) { return azureCredential(client, over) })
		if err != nil {
			return "", err
		}
		t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		return t.Token, err
	}
}

func azureCredential(client string, over *http.Client) (azcore.TokenCredential, error) {
	var options azcore.ClientOptions
	if over != nil {
		options.Transport = over
	}
	if client == "" {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: options})
	}
	if os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "" {
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, ClientID: client,
		})
	}
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: options, ID: azidentity.ClientID(client),
	})
}
