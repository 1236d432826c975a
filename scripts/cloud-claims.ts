import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { z } from 'zod'

import { askCloud, missing } from './ask-cloud.ts'

/** What the command line says about claims. */
export interface ClaimsOptions {
  readonly folder?: string | undefined
  readonly out?: string | undefined
}

const claimAnswer = z.object({ certificateId: z.string(), certificatePem: z.string(), privateKeyPem: z.string() })

/**
 * Has a running cloud make a claim certificate, written with its key to a folder, or list its certificates; prints the
 * outcome as JSON, without the key. Throws an Error that says what is wrong.
 */
export async function runClaimsCommand(verb: string | undefined, options: ClaimsOptions): Promise<void> {
  const outcome = await obey(verb, options)
  process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`)
}

async function obey(verb: string | undefined, { folder, out }: ClaimsOptions): Promise<unknown> {
  switch (verb) {
    case 'create':
      return await writeClaim(
        claimAnswer.parse(await askCloud(folder, { command: 'create-claim' })),
        out ?? join(folder ?? missing('--folder'), 'claim'),
      )
    case 'list':
      return await askCloud(folder, { command: 'list-certificates' })
    default:
      throw new Error(`"claims ${verb ?? ''}" is not known: create or list`)
  }
}

async function writeClaim(
  { certificateId, certificatePem, privateKeyPem }: z.output<typeof claimAnswer>,
  folder: string,
): Promise<unknown> {
  const files = { certificate: join(folder, 'certificate.pem'), privateKey: join(folder, 'private.key') }
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await rm(files.privateKey, { force: true }) // the mode counts for a new file only
  await writeFile(files.privateKey, privateKeyPem, { mode: 0o600 })
  await writeFile(files.certificate, certificatePem)
  return { certificateId, ...files }
}
