// The official SDK of OpenAI: chat completions and responses.
import OpenAI from 'openai'
import { base, cancelled, expect, key, model, parameters, picture, proves, refused } from './common.mjs'

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 })
const image = `data:image/png;base64,${picture}`

async function chat(stream) {
  const ask = async (messages, more = {}) => {
    if (!stream) return (await client.chat.completions.create({ model, messages, ...more })).choices[0].message
    const s = client.chat.completions.stream({ model, messages, ...more })
    return (await s.finalChatCompletion()).choices[0].message
  }
  expect('chat', (await ask([{ role: 'user', content: 'say pong' }])).content, 'pong from')
  const tools = [{ type: 'function', function: { name: 'lookup', parameters } }]
  const messages = [{ role: 'user', content: 'use the tool [[loop]]' }]
  for (;;) {
    const m = await ask(messages, { tools })
    messages.push(m)
    if (!m.tool_calls?.length) {
      expect('chat loop', m.content, 'done after 10 results')
      break
    }
    for (const c of m.tool_calls) {
      messages.push({ role: 'tool', tool_call_id: c.id, content: `found ${JSON.parse(c.function.arguments).word}` })
    }
  }
  const seen = await ask([{ role: 'user', content: [{ type: 'text', text: '[[image]]' }, { type: 'image_url', image_url: { url: image } }] }])
  expect('chat image', seen.content, 'images: 1')
}

async function responses(stream) {
  const ask = async (input, more = {}) => {
    const body = { model, input, store: false, include: ['reasoning.encrypted_content'], ...more }
    if (!stream) return client.responses.create(body)
    const s = client.responses.stream(body)
    let last = -1
    for await (const e of s) {
      if (e.sequence_number <= last) throw new Error(`number ${e.sequence_number} after ${last}`)
      last = e.sequence_number
    }
    return s.finalResponse()
  }
  const pong = await ask('say pong')
  expect('response', pong.output_text, 'pong from')
  if (!(pong.usage.input_tokens > 0)) throw new Error('no usage')
  const tools = [{ type: 'function', name: 'lookup', parameters, strict: false }]
  const input = [{ role: 'user', content: 'use the tool [[loop]]' }]
  for (;;) {
    const r = await ask(input, { tools, reasoning: { effort: 'low', summary: 'auto' } })
    input.push(...r.output)
    const calls = r.output.filter((o) => o.type === 'function_call')
    if (!calls.length) {
      expect('responses loop', r.output_text, 'done after 10 results')
      break
    }
    if (calls.length !== 2) throw new Error('calls are not parallel')
    if (proves && !r.output.some((o) => o.type === 'reasoning' && o.encrypted_content)) throw new Error('no reasoning to give back')
    for (const c of calls) {
      input.push({ type: 'function_call_output', call_id: c.call_id, output: `found ${JSON.parse(c.arguments).word}` })
    }
  }
  const seen = await ask([{ role: 'user', content: [{ type: 'input_text', text: '[[image]]' }, { type: 'input_image', image_url: image }] }])
  expect('response image', seen.output_text, 'images: 1')
}

for (const stream of [false, true]) {
  await chat(stream)
  await responses(stream)
}
await cancelled('chat', (signal) =>
  client.chat.completions.create({ model, stream: true, messages: [{ role: 'user', content: '[[slow]]' }] }, { signal }))
await cancelled('response', (signal) => client.responses.create({ model, stream: true, input: '[[slow]]' }, { signal }))
await refused('chat', () => client.chat.completions.create({ model: 'nowhere', messages: [{ role: 'user', content: 'x' }] }))
await refused('response', () => client.responses.create({ model: 'nowhere', input: 'x' }))
expect('models', (await client.models.list()).data.map((m) => m.id), model)
