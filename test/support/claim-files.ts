import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { IotCloud } from '../cloud/iot/iot-cloud.ts'

/** What the image of appliances that were never booted holds, beside the configuration. */
export interface ClaimFiles {
  readonly claimId: string
  readonly claimFolder: string
  readonly rootCa: string
}

/** A new claim of the cloud, and its root. */
export async function writeClaimFiles(cloud: IotCloud, folder: string): Promise<ClaimFiles> {
  const claim = await cloud.iot.provisioning.createClaim()
  const files = {
    claimId: claim.certificateId,
    claimFolder: join(folder, 'claim'),
    rootCa: join(folder, 'root-ca.pem'),
  }
  await mkdir(files.claimFolder)
  await writeFile(join(files.claimFolder, 'certificate.pem'), claim.certificatePem)
  await writeFile(join(files.claimFolder, 'private.key'), claim.privateKeyPem, { mode: 0o600 })
  await writeFile(files.rootCa, cloud.rootCaPem)
  return files
}

export interface ImageConfigOptions {
  readonly cloud: IotCloud
  readonly claim: ClaimFiles
  readonly serialNumberFile: string
  readonly paths: { readonly state: string; readonly runtime: string }
  /** Merged over the section. */
  readonly provisioning?: Readonly<Record<string, unknown>> | undefined
}

/** The configuration of an appliance that has to get an identity by itself. */
export function imageConfig(options: ImageConfigOptions): Readonly<Record<string, unknown>> {
  const { cloud, claim, serialNumberFile, paths, provisioning = {} } = options
  return {
    device: { region: cloud.region },
    identity: { rootCa: claim.rootCa },
    endpoints: { ...cloud.endpoints },
    role: { alias: cloud.names.roleAlias },
    provisioning: {
      claimCertificate: join(claim.claimFolder, 'certificate.pem'),
      claimPrivateKey: join(claim.claimFolder, 'private.key'),
      serialNumberFile,
      ...provisioning,
    },
    paths,
  }
}
