import { X509Certificate } from 'node:crypto'

import { reportError } from '../lib/errors.ts'
import { fail, pass, UnseenError, warn, type Check, type Outcome } from './doctor-check.ts'
import { fileOutcomes, type FileAccess } from './file-access.ts'

/** What was read, and found to belong together. In PEM. */
export interface CheckedIdentity {
  readonly certificate: string
  readonly roots: string
  readonly origin: string
}

export interface IdentityDeps {
  /** Throws what is wrong with it, with a hint. */
  readonly load: () => Promise<CheckedIdentity>
  /** The files in use, and whether the agent's user may read them. */
  readonly files: (signal: AbortSignal) => Promise<readonly FileAccess[]>
  /** By the clock that is believed most. */
  readonly nowMs: () => number
}

const expiresSoonMs = 30 * 86_400_000
const amazonRoots = ['Amazon Root CA 1', 'Amazon Root CA 2', 'Amazon Root CA 3', 'Amazon Root CA 4']

/** Certificate, key and roots: there, of one pair, readable by the agent and by nobody else. */
export function identityCheck({ load, files }: IdentityDeps): Check {
  return {
    id: 'identity',
    name: 'certificate and key',
    withinMs: 5_000,
    run: async (signal) => {
      const unreadable = fileOutcomes(await files(signal))
      try {
        const { certificate, origin } = await load()
        const parsed = new X509Certificate(certificate)
        const where = origin === 'live' ? 'from provisioning' : 'as configured'
        const fine = pass(`they belong together, ${keyText(parsed)}, ${where}, certificate of ${subjectOf(parsed)}`)
        return unreadable.length === 0 ? [fine] : unreadable
      } catch (error) {
        if (error instanceof UnseenError) throw error
        const { message, hint } = reportError(error)
        return [fail(message, hint), ...unreadable.filter(({ text }) => !message.includes(text.split(' ')[0] ?? ''))]
      }
    },
  }
}

export function certificateDatesCheck({ load, nowMs }: IdentityDeps): Check {
  return {
    id: 'identity.dates',
    name: 'certificate dates',
    withinMs: 5_000,
    needs: ['identity'],
    after: ['clock'],
    run: async () => [datesOutcome(new X509Certificate((await load()).certificate), nowMs())],
  }
}

export function rootsCheck({ load }: Pick<IdentityDeps, 'load'>, needs = 'identity'): Check {
  return {
    id: 'identity.roots',
    name: 'root certificates',
    withinMs: 5_000,
    needs: [needs],
    run: async () => [rootsOutcome((await load()).roots)],
  }
}

export function datesOutcome({ validFromDate, validToDate }: X509Certificate, nowMs: number): Outcome {
  const shown = (date: Date): string => date.toISOString().slice(0, 10)
  const days = Math.floor((validToDate.getTime() - nowMs) / 86_400_000)
  if (nowMs > validToDate.getTime()) {
    return fail(
      `the device certificate has expired on ${shown(validToDate)}`,
      'make a new certificate for this thing and put it, with its key, where identity.* names them: AWS IoT refuses this one',
    )
  }
  if (nowMs < validFromDate.getTime()) {
    return fail(
      `the device certificate is not valid before ${shown(validFromDate)}, and it is ${new Date(nowMs).toISOString()}`,
      'set the system clock, or make a new certificate',
    )
  }
  if (validToDate.getTime() - nowMs < expiresSoonMs) {
    return warn(
      `the device certificate expires on ${shown(validToDate)}, in ${days} ${days === 1 ? 'day' : 'days'}`,
      'rotate the certificate: after that date AWS IoT refuses this appliance',
    )
  }
  return pass(`the device certificate is valid until ${shown(validToDate)}`)
}

/** AWS may change the chain of an endpoint at any time to another of its roots (AWS IoT Core, "Server authentication"). */
export function rootsOutcome(pem: string): Outcome {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  const names = [...new Set(found.map((each) => commonNameOf(new X509Certificate(each).subject)))]
  const missing = amazonRoots.filter((name) => !names.includes(name))
  if (missing.length > 0 && missing.length < amazonRoots.length) {
    return warn(
      `identity.rootCa holds ${names.join(', ')}, and not all of Amazon's roots: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`,
      'add them (https://www.amazontrust.com/repository/): AWS may move an endpoint to another root',
    )
  }
  if (missing.length === 0) return pass("identity.rootCa holds all of Amazon's roots")
  return pass(
    `identity.rootCa holds ${names.length === 1 ? 'one root' : `${names.length} roots`}: ${names.slice(0, 4).join(', ')}`,
  )
}

function keyText({ publicKey }: X509Certificate): string {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details } = publicKey
  if (type === 'ec') return `key EC ${details?.namedCurve ?? ''}`.trim()
  return type === 'rsa' ? `key RSA ${details?.modulusLength ?? ''}`.trim() : `key ${type}`
}

function subjectOf({ subject }: X509Certificate): string {
  return `"${commonNameOf(subject)}"`
}

function commonNameOf(name: string): string {
  return /^CN=(.*)$/m.exec(name)?.[1] ?? name
}
