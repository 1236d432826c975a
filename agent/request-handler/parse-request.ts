/** What root may be asked for. `argument` is empty where the verb takes none. */
export interface RootRequest {
  readonly verb: Verb
  readonly argument: string
}

export type Verb = 'reboot' | 'restart-unit' | 'run-hook' | 'set-clock' | 'install-update' | 'confirm-update'

/** Why a request is not one, as the answer tells it. */
export type ParseFault = 'malformed' | 'unknown-verb' | 'bad-argument' | 'argument-missing' | 'argument-not-taken'

export const maxRequestBytes = 256

const verbs: readonly Verb[] = ['reboot', 'restart-unit', 'run-hook', 'set-clock', 'install-update', 'confirm-update']
const argumentPattern = /^[A-Za-z0-9@._:-]{0,128}$/
/** With versions as dpkg has them (deb-version(7)). */
const updatePattern = /^[A-Za-z0-9@._:~+-]{0,160}$/

/**
 * Reads `{"verb","argument"}`, where a verb that takes no argument may leave it out, and nothing else. White space
 * aside, the text has to be what JSON.stringify would make of it: no field twice, no escapes.
 */
export function parseRequest(bytes: Uint8Array): RootRequest | ParseFault {
  const fields = parseFields(bytes)
  if (fields === undefined) return 'malformed'
  const verb = verbs.find((known) => known === fields.get('verb'))
  if (verb === undefined) return 'unknown-verb'
  const argument = fields.get('argument') ?? ''
  const isOfUpdate = verb === 'install-update' || verb === 'confirm-update'
  if (!(isOfUpdate ? updatePattern : argumentPattern).test(argument)) return 'bad-argument'
  if (verb === 'reboot') return argument === '' ? { verb, argument } : 'argument-not-taken'
  return argument === '' ? 'argument-missing' : { verb, argument }
}

function parseFields(bytes: Uint8Array): ReadonlyMap<string, string> | undefined {
  if (bytes.length > maxRequestBytes) return undefined
  const text = decode(bytes)
  const json = text === undefined ? undefined : parseJson(text)
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  if (text?.replace(/[ \t\r\n]/g, '') !== JSON.stringify(json).replaceAll(' ', '')) return undefined
  const fields = new Map<string, string>()
  for (const [name, value] of Object.entries(json)) {
    if ((name !== 'verb' && name !== 'argument') || typeof value !== 'string') return undefined
    fields.set(name, value)
  }
  return fields.has('verb') ? fields : undefined
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
