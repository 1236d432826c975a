import { X509Certificate } from 'node:crypto'

import { trustedKey } from '../../agent/artifacts/release/release-signature.ts'
import type { UnprovisionedConfig } from '../../agent/config/config-schema.ts'
import { pathText, type JsonPath } from '../../agent/lib/json-object.ts'

/** A file that a configuration names. */
export interface NamedFile {
  /** Where it is named: `identity.rootCa`. */
  readonly field: string
  readonly path: string
  /** What it means that it is not in the image; undefined where it has to be. */
  readonly mayBeMissing?: string
  /** Throws when it does not hold what it should. */
  readonly check?: (text: string) => unknown
}

export const claimFiles = {
  claimCertificate: '/etc/panorama-agent/claim/certificate.pem',
  claimPrivateKey: '/etc/panorama-agent/claim/private.key',
} as const
const serialNumberFile = '/var/lib/panorama-agent-serial/serial'

/** Whether an appliance with this configuration and no identity gets one by claim. */
export function usesClaim({ provisioning, identity }: UnprovisionedConfig): boolean {
  return provisioning !== undefined && identity.certificate === undefined && identity.privateKey === undefined
}

/** All files that an agent with this configuration reads, but the claim that is brought to their usual places. */
export function namedFiles(config: UnprovisionedConfig, isClaimBrought: boolean): readonly NamedFile[] {
  const { identity, artifacts, cameras, network } = config
  return [
    { field: 'identity.rootCa', path: identity.rootCa, check: (text) => new X509Certificate(text) },
    ...ownOf(identity),
    ...(usesClaim(config) ? claimOf(config, isClaimBrought) : []),
    ...artifacts.flatMap(({ trustedKeys }, index) =>
      trustedKeys.flatMap((key, number) => trusted(key, ['artifacts', index, 'trustedKeys', number])),
    ),
    ...rootsOf(cameras.ca, ['cameras', 'ca']),
    ...cameras.streams.flatMap(({ ca }, index) => rootsOf(ca, ['cameras', 'streams', index, 'ca'])),
    ...optional(network.proxy?.usernameFile, 'network.proxy.usernameFile'),
    ...optional(network.proxy?.passwordFile, 'network.proxy.passwordFile'),
  ]
}

function ownOf({ certificate, privateKey }: UnprovisionedConfig['identity']): readonly NamedFile[] {
  const mayBeMissing = 'the agent waits until it is there, on each appliance its own'
  return [
    ...optional(certificate, 'identity.certificate', { mayBeMissing, check: (text) => new X509Certificate(text) }),
    ...optional(privateKey, 'identity.privateKey', { mayBeMissing }),
  ]
}

function claimOf({ provisioning }: UnprovisionedConfig, isBrought: boolean): readonly NamedFile[] {
  if (provisioning === undefined) return []
  const { claimCertificate, claimPrivateKey, serialNumberFile: serial } = provisioning
  const claim = { claimCertificate, claimPrivateKey }
  const mayBeMissing = 'without the claim (--claim) the agent waits until somebody provisions it'
  const files = (['claimCertificate', 'claimPrivateKey'] as const)
    .filter((name) => !isBrought || claim[name] !== claimFiles[name])
    .map((name) => ({
      field: `provisioning.${name}`,
      path: claim[name],
      ...(claim[name] === claimFiles[name] ? { mayBeMissing } : {}),
    }))
  if (serial === serialNumberFile) return files
  const nobody = `nothing writes it: panorama-agent-serial.service writes ${serialNumberFile}`
  return [...files, { field: 'provisioning.serialNumberFile', path: serial, mayBeMissing: nobody }]
}

function trusted(key: string, path: JsonPath): readonly NamedFile[] {
  if (!key.startsWith('/')) return []
  return [{ field: pathText(path), path: key, check: (text) => trustedKey(text, key) }]
}

function rootsOf(path: string | undefined, field: JsonPath): readonly NamedFile[] {
  return optional(path, pathText(field), { check: (text) => new X509Certificate(text) })
}

function optional(
  path: string | undefined,
  field: string,
  rest: Pick<NamedFile, 'mayBeMissing' | 'check'> = {},
): readonly NamedFile[] {
  return path === undefined ? [] : [{ field, path, ...rest }]
}
