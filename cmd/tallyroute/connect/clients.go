package connect

// clients returns all supported clients. In their texts, {url}, {key} and {model} are
// placeholders for the settings.
func clients() []client { return append(writable(), others()...) }

// writable returns the clients whose files we can merge settings into.
func writable() []client {
	return []client{
		{
			name: "codex", folder: folder{"CODEX_HOME", nil, []string{".codex"}}, files: []string{"config.toml"},
			syntax: asTOML(), settings: codex,
			text: `# ~/.codex/config.toml; the key is taken from the environment: export TALLYROUTE_KEY={key}
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
			text: `// ~/.config/opencode/opencode.json; the key is taken from the environment: export TALLYROUTE_KEY={key}
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
In Cursor: Settings > Models > API Keys
  OpenAI API Key             {key}
  Override OpenAI Base URL   {url}/v1
Then add the model {model} under Settings > Models, and switch the others off.
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
			text: `# ~/.continue/config.yaml, under models:
models:
  - name: {model}
    provider: openai
    model: {model}
    apiBase: {url}/v1
    apiKey: {key}
    roles: [chat, edit, apply]
`,
		},
		{
			name: "open-webui",
			text: `# The environment of Open WebUI, or Admin Panel > Settings > Connections > OpenAI API
OPENAI_API_BASE_URL={url}/v1
OPENAI_API_KEY={key}
`,
		},
		{
			name: "librechat",
			text: `# librechat.yaml, with TALLYROUTE_KEY={key} in .env
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
  API Key    {key}
  Base URL   {url}/v1
Then choose that credential and the model {model} in an OpenAI Chat Model node.
`,
		},
	}
}
