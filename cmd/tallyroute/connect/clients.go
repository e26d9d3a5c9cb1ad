package connect

// clients returns all supported clients. In their texts, {url}, {key}, {secret} and {model} are
// placeholders for the settings: {key} where a shell reads it, {secret} elsewhere.
func clients() []client { return append(writable(), others()...) }

// writable returns the clients whose files we can merge settings into.
func writable() []client {
	return []client{
		{
			name: "codex", folder: folder{"CODEX_HOME", nil, []string{".codex"}}, files: []string{"config.toml"},
			syntax: asTOML(), settings: codex,
			text: `# ~/.codex/config.toml; the key is taken from the environment: export TALLYROUTE_KEY={secret}
model = "{model}"
model_provider = "tallyroute"

[model_providers.tallyroute]
name = "Tallyroute"
base_url = "{url}/v1"
env_key = "TALLYROUTE_KEY"
wire_api = "responses"
`,
		},
		{
			name: "claude-code", folder: folder{"CLAUDE_CONFIG_DIR", nil, []string{".claude"}}, files: []string{"settings.json"},
			syntax: withComments(), settings: claudeCode,
			text: `export ANTHROPIC_BASE_URL={url}
export ANTHROPIC_AUTH_TOKEN={key}
export ANTHROPIC_MODEL={model}
export ANTHROPIC_DEFAULT_OPUS_MODEL={model} ANTHROPIC_DEFAULT_SONNET_MODEL={model} ANTHROPIC_DEFAULT_HAIKU_MODEL={model}
unset ANTHROPIC_API_KEY
claude
`,
		},
		{
			name: "opencode", folder: folder{"XDG_CONFIG_HOME", []string{"opencode"}, []string{".config", "opencode"}},
			files: []string{"opencode.json", "opencode.jsonc"}, syntax: withComments(), settings: openCode,
			text: `// ~/.config/opencode/opencode.json; the key is taken from the environment: export TALLYROUTE_KEY={secret}
{
  "$schema": "https://opencode.ai/config.json",
  "provider": {
    "tallyroute": {
      "npm": "@ai-sdk/anthropic",
      "name": "Tallyroute",
      "options": {"baseURL": "{url}/v1", "apiKey": "{env:TALLYROUTE_KEY}"},
      "models": {
        "{model}": {"name": "{model}", "attachment": true, "modalities": {"input": ["text", "image"], "output": ["text"]}}
      }
    }
  },
  "model": "tallyroute/{model}"
}
`,
		},
	}
}

// others returns the clients that have to be set up by hand.
func others() []client {
	return []client{
		{
			name: "cursor",
			text: `Cursor's own servers make the calls, so the router needs an address that they can reach.
In Cursor: Cursor Settings > Models > API Keys
  OpenAI API Key             {secret}
  Override OpenAI Base URL   {url}/v1
Then "Add Custom Model" {model} under Models, switch it on, and choose it in the chat. The base URL
holds for all models of OpenAI; completion by Tab always uses Cursor's own.
`,
		},
		{
			name: "aider",
			text: `export OPENAI_API_BASE={url}/v1
export OPENAI_API_KEY={key}
aider --model openai/{model}
`,
		},
		{
			name: "continue",
			text: `# ~/.continue/config.yaml, with TALLYROUTE_KEY={secret} in ~/.continue/.env.
# Where the file has models already, add the entry to them.
name: Tallyroute
version: 1.0.0
schema: v1
models:
  - name: {model}
    provider: openai
    model: {model}
    apiBase: {url}/v1
    apiKey: ${{ secrets.TALLYROUTE_KEY }}
    roles: [chat, edit, apply]
`,
		},
		{
			name: "open-webui",
			text: `# The environment in which Open WebUI is started for the first time. Later it keeps what was
# set under Admin Panel > Settings > Connections > OpenAI API: change it there.
OPENAI_API_BASE_URL={url}/v1
OPENAI_API_KEY={secret}
`,
		},
		{
			name: "librechat",
			text: `# librechat.yaml, with TALLYROUTE_KEY={secret} in .env.
# Where the file has endpoints already, add the entry to those under custom.
version: 1.3.0
endpoints:
  custom:
    - name: Tallyroute
      apiKey: "${TALLYROUTE_KEY}"
      baseURL: {url}/v1
      models: {default: ["{model}"], fetch: true}
      titleConvo: true
      titleModel: {model}
`,
		},
		{
			name: "n8n",
			text: `In n8n: Credentials > Add credential > OpenAI
  API Key    {secret}
  Base URL   {url}/v1
Then choose that credential and the model {model} in an OpenAI Chat Model node.
`,
		},
	}
}
