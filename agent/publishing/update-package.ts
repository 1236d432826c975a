import { spawn } from 'node:child_process'
import { basename } from 'node:path'
import { text } from 'node:stream/consumers'

import { AgentError, errorCode } from '../lib/errors.ts'

/** How appliances name the package of a version, as deb-version(7) has versions. */
const fileName = /^panorama-agent_([0-9][A-Za-z0-9.+:~-]{0,63})_([a-z0-9]+)\.deb$/
const fields = ['Package', 'Version', 'Architecture'] as const
const withinMs = 120_000
const withoutTool =
  'sign where dpkg is installed (apt-get install dpkg); openssl pkeyutl -sign -rawin makes the same signature, of anything'

/**
 * Sees that a file is a whole package of the agent, and that its name, which appliances look for, says what is in it: a wrong
 * one would be found out by a fleet. Throws an AgentError that says what is wrong, and where dpkg-deb is missing.
 */
export async function checkUpdatePackage(file: string): Promise<void> {
  const [, version, architecture] = fileName.exec(basename(file)) ?? []
  if (version === undefined || architecture === undefined) {
    throw new AgentError(`${file} has not the name that appliances look for`, {
      hint: 'it must be panorama-agent_VERSION_ARCHITECTURE.deb, as scripts/package names it',
    })
  }
  const wanted = { Package: 'panorama-agent', Version: version, Architecture: architecture }
  const held = fieldsOf(await askDpkg(['--field', file, ...fields], file))
  for (const field of fields) {
    if (held.get(field) === wanted[field]) continue
    throw new AgentError(`${file} holds ${field} ${held.get(field) ?? 'nothing'}, and its name says ${wanted[field]}`, {
      hint: 'take the file as scripts/package made and named it',
    })
  }
  await askDpkg(['--fsys-tarfile', file], file) // reads all of it: what was cut off is missing at its end
}

function fieldsOf(output: string): ReadonlyMap<string, string> {
  return new Map(
    output.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  )
}

/** Answers what it prints; of a whole package's content nothing, which goes nowhere. */
async function askDpkg(args: readonly string[], file: string): Promise<string> {
  const isContent = args[0] === '--fsys-tarfile'
  const child = spawn('dpkg-deb', args, { stdio: ['ignore', isContent ? 'ignore' : 'pipe', 'pipe'], timeout: withinMs })
  const { promise: ended, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject).once('close', resolve)
  const [printed, complaint, code] = await Promise.all([
    child.stdout === null ? '' : text(child.stdout),
    child.stderr === null ? '' : text(child.stderr),
    ended,
  ]).catch((cause: unknown) => {
    const isMissing = errorCode(cause) === 'ENOENT'
    const message = isMissing ? `there is no dpkg-deb here to see with whether ${file} is whole` : 'dpkg-deb failed'
    throw new AgentError(message, { cause, ...(isMissing ? { hint: withoutTool } : {}) })
  })
  if (code === 0) return printed
  throw new AgentError(`${file} is no whole Debian package: ${complaint.trim().replaceAll('\n', '; ')}`, {
    hint: 'make it again with scripts/package, or copy it again',
  })
}
