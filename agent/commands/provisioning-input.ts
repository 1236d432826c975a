import { readFile } from 'node:fs/promises'

import type { UnprovisionedConfig } from '../config/config-schema.ts'
import type { KeyPair } from '../identity/fleet-provisioning.ts'
import { pairFault, type PairNames } from '../identity/pair-fault.ts'
import { thingNameSchema } from '../identity/stored-identity.ts'
import { AgentError, errorCode, UsageError } from '../lib/errors.ts'
import { readArchive, type ArchiveContents } from './provisioning-archive.ts'

export interface ProvisionOptions {
  readonly configFile: string
  readonly certificate?: string
  readonly privateKey?: string
  readonly thingName?: string
  /** A configuration archive. */
  readonly archive?: string
  /** Get an identity by claim, now. */
  readonly claim?: boolean
  /** Also in the place of an identity, or of a claim, that is there. */
  readonly replace?: boolean
}

/** What an operator gave. */
export interface ProvisioningInput {
  readonly archive: ArchiveContents
  /** Of the thing. */
  readonly device: KeyPair | undefined
  readonly claim: KeyPair | undefined
}

/** Reads what the options name. Throws a UsageError where they contradict each other, and an AgentError that names what is wrong in a file. */
export async function readInput(options: ProvisionOptions): Promise<ProvisioningInput> {
  refuseContradictions(options)
  const { archive: path = '' } = options
  const archive = path === '' ? {} : await readArchive(path)
  const device = await devicePair(options, archive)
  const claim = pairOf(archive['claim-certificate.pem'], archive['claim-private.key'], {
    certificate: `claim-certificate.pem in ${path}`,
    privateKey: `claim-private.key in ${path}`,
  })
  if (device === undefined && claim === undefined && options.claim !== true) {
    throw new UsageError(`there is nothing to provision with${path === '' ? '' : ` in ${path}`}`, {
      hint: path === '' ? whatToGive : whatToPut,
    })
  }
  refuseUnused(options, device)
  return { archive, device, claim }
}

const whatToGive = 'give --certificate and --private-key, an --archive with them or with a claim, or --claim'
const whatToPut =
  'put certificate.pem, private.key and thing-name there, or claim-certificate.pem and claim-private.key; ' +
  'what AWS IoT names ...-certificate.pem.crt and ...-private.pem.key is to be renamed so'

/** The thing of a certificate. Throws a UsageError where nothing names it. */
export function thingNameFor(
  { thingName }: ProvisionOptions,
  archive: ArchiveContents,
  config: UnprovisionedConfig,
): string {
  const named = thingName ?? archive['thing-name']?.replace(/^\uFEFF/, '').trim() ?? config.device.thingName
  if (thingNameSchema.safeParse(named).success && named !== undefined) return named
  throw new UsageError(
    named === undefined ? 'the thing of the certificate is not named' : `${named} is no thing name`,
    {
      hint: 'give --thing-name, a file thing-name in the archive, or device.thingName in the configuration',
    },
  )
}

function refuseContradictions({ certificate, privateKey, thingName, archive, claim }: ProvisionOptions): void {
  const isByFiles = certificate !== undefined || privateKey !== undefined
  if (claim === true && (isByFiles || thingName !== undefined)) {
    throw new UsageError('--claim gets certificate and thing name by itself', {
      hint: 'leave out --certificate, --private-key and --thing-name, or --claim',
    })
  }
  if (!isByFiles) return
  if (certificate === undefined || privateKey === undefined) {
    throw new UsageError('a certificate needs its private key', { hint: 'give both --certificate and --private-key' })
  }
  if (archive !== undefined) {
    throw new UsageError('--archive and --certificate are two ways to provision', { hint: 'give only one of them' })
  }
}

/** What would be ignored. */
function refuseUnused({ claim, thingName, replace }: ProvisionOptions, device: KeyPair | undefined): void {
  if (device !== undefined && claim === true) {
    throw new UsageError('the archive holds a certificate of a thing, and --claim would get another one', {
      hint: 'leave out --claim, or take certificate.pem and private.key out of the archive',
    })
  }
  if (device === undefined && thingName !== undefined) {
    throw new UsageError('--thing-name is for a certificate, and none is given', { hint: 'leave it out' })
  }
  if (claim === true && replace === true) {
    throw new UsageError('--claim replaces nothing', { hint: 'panorama-agent reset comes first' })
  }
}

async function devicePair(options: ProvisionOptions, archive: ArchiveContents): Promise<KeyPair | undefined> {
  const { certificate, privateKey, archive: path = '' } = options
  if (certificate !== undefined && privateKey !== undefined) {
    return pairOf(await readText(certificate), await readText(privateKey), { certificate, privateKey })
  }
  return pairOf(archive['certificate.pem'], archive['private.key'], {
    certificate: `certificate.pem in ${path}`,
    privateKey: `private.key in ${path}`,
  })
}

function pairOf(
  certificate: string | undefined,
  privateKey: string | undefined,
  names: PairNames,
): KeyPair | undefined {
  if (certificate === undefined && privateKey === undefined) return undefined
  if (certificate === undefined || privateKey === undefined) {
    const missing = certificate === undefined ? names.certificate : names.privateKey
    throw new AgentError(`there is no ${missing}`, { hint: 'put it beside the other one: neither is of use alone' })
  }
  const fault = pairFault({ certificate, privateKey }, names)
  if (fault !== undefined) throw new AgentError(fault.message, { hint: fault.hint })
  return { certificate, privateKey }
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    throw new AgentError(`${path} cannot be read (${errorCode(error) ?? 'unknown error'})`, {
      hint: 'see that it is there, and that you may read it',
    })
  })
}
