import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { z } from 'zod'

import { askCloud, missing } from './ask-cloud.ts'

const issued = z.object({ accessKeyId: z.string(), secretAccessKey: z.string(), sessionToken: z.string() })
const config = z.object({
  endpoints: z.object({ s3: z.string() }),
  artifacts: z.array(z.object({ accessPoint: z.string() })).min(1),
})

/**
 * Prints what `panorama-agent publish` needs for a running cloud as a shell takes it: credentials of a publisher for an hour,
 * its root certificate, access point and endpoint. Throws an Error that says what is wrong.
 */
export async function runCredentialsCommand(folder: string | undefined): Promise<void> {
  const { accessKeyId, secretAccessKey, sessionToken } = issued.parse(
    await askCloud(folder, { command: 'sign-in-publisher' }),
  )
  const path = resolve(folder ?? missing('--folder'))
  const { endpoints, artifacts } = config.parse(JSON.parse(await readFile(join(path, 'agent.json'), 'utf8')))
  const variables = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
    NODE_EXTRA_CA_CERTS: join(path, 'root-ca.pem'),
    S3_ENDPOINT: endpoints.s3,
    ACCESS_POINT: artifacts[0]?.accessPoint ?? '',
  }
  for (const [name, value] of Object.entries(variables)) process.stdout.write(`export ${name}=${quoted(value)}\n`)
}

/** For a shell: nothing in it is taken for anything but itself. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
