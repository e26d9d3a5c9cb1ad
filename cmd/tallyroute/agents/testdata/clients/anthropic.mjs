// The official SDK of Anthropic.
import Anthropic from '@anthropic-ai/sdk'
import { base, cancelled, expect, key, model, parameters, picture, proves, refused } from './common.mjs'

const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 })

async function messages(client, stream) {
  const ask = async (list, more = {}) => {
    const body = { model, max_tokens: 4096, messages: list, ...more }
    if (!stream) return client.messages.create(body)
    const s = client.messages.stream(body)
    let begun = 0
    s.on('streamEvent', (e) => {
      if (e.type === 'message_start') begun = e.message.usage.input_tokens + (e.message.usage.cache_read_input_tokens ?? 0)
    })
    const m = await s.finalMessage()
    if (!(begun > 0)) throw new Error('message_start has no usage')
    return m
  }
  const text = (m) => m.content.filter((b) => b.type === 'text').map((b) => b.text).join('')
  const pong = await ask([{ role: 'user', content: 'say pong' }])
  expect('message', text(pong), 'pong from')
  if (!(pong.usage.input_tokens > 0) || !(pong.usage.output_tokens > 0)) throw new Error('no usage')
  const tools = [{ name: 'lookup', input_schema: parameters, cache_control: { type: 'ephemeral' } }]
  const list = [{ role: 'user', content: [{ type: 'text', text: 'use the tool [[loop]]', cache_control: { type: 'ephemeral', ttl: '1h' } }] }]
  for (;;) {
    const m = await ask(list, { tools, thinking: { type: 'enabled', budget_tokens: 2048 }, system: 'You look things up.' })
    list.push({ role: 'assistant', content: m.content })
    const calls = m.content.filter((b) => b.type === 'tool_use')
    if (!calls.length) {
      expect('loop', text(m), 'done after 10 results')
      break
    }
    if (calls.length !== 2 || m.stop_reason !== 'tool_use') throw new Error('calls are not parallel')
    if (proves && !m.content.some((b) => (b.type === 'thinking' && b.signature) || b.type === 'redacted_thinking')) {
      throw new Error('no thinking to give back')
    }
    list.push({ role: 'user', content: calls.map((c) => ({ type: 'tool_result', tool_use_id: c.id, content: `found ${c.input.word}` })) })
  }
  const source = { type: 'base64', media_type: 'image/png', data: picture }
  expect('image', text(await ask([{ role: 'user', content: [{ type: 'text', text: '[[image]]' }, { type: 'image', source }] }])), 'images: 1')
}

await messages(client, false)
await messages(client, true)
await messages(new Anthropic({ baseURL: base, authToken: key, apiKey: null, maxRetries: 0 }), true)
await cancelled('message', (signal) =>
  client.messages.create({ model, max_tokens: 4096, stream: true, messages: [{ role: 'user', content: '[[slow]]' }] }, { signal }))
await refused('message', () => client.messages.create({ model: 'nowhere', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] }))
const count = await client.messages.countTokens({ model, messages: [{ role: 'user', content: 'how many tokens?' }] })
if (!(count.input_tokens > 0)) throw new Error('no count')
const beta = await client.beta.messages.create({ model, max_tokens: 4096, messages: [{ role: 'user', content: 'x' }], betas: ['context-1m-2025-08-07'] })
expect('beta', beta.content[0].text, 'pong from')
const ids = []
for await (const m of client.models.list()) ids.push(m.id)
expect('models', ids, model)
expect('model', (await client.models.retrieve(model)).id, model)
