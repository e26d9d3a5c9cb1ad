// What all clients are asked to do, and the checks of it.
export const base = process.env.BASE, key = process.env.KEY, model = process.env.MODEL
export const proves = !/on-(openai|cohere|ollama)$/.test(model)

export const picture =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC'

export const parameters = {
  type: 'object', properties: { word: { type: 'string' } }, required: ['word'], additionalProperties: false,
}

export function expect(what, got, want) {
  if (!String(got).includes(want)) throw new Error(`${what}: ${JSON.stringify(got)} has not ${JSON.stringify(want)}`)
}

// refused expects an error of the client's own kind for a model that there is none of.
export async function refused(what, ask) {
  try {
    await ask()
  } catch (e) {
    expect(what, e.message + (e.responseBody ?? ''), 'nowhere')
    return
  }
  throw new Error(`${what}: nothing was refused`)
}

// cancelled begins a slow answer and leaves it at its first text.
export async function cancelled(what, begin) {
  const control = new AbortController()
  let pieces = 0
  try {
    for await (const _ of await begin(control.signal)) {
      if (++pieces === 1) control.abort()
    }
  } catch (e) {
    if (!control.signal.aborted) throw e
  }
  if (!control.signal.aborted) throw new Error(`${what}: it never began`)
}
