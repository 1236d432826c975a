import { createInterface } from 'node:readline'

import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'

/**
 * An application that a container or a service would run: an SDK client with nothing but its environment, in a process
 * of its own. Told `who am I?` on a line, it asks STS who it is, and prints that or what went wrong, as JSON.
 */
const client = new STSClient({ endpoint: process.env['STS_ENDPOINT'] ?? '', maxAttempts: 1 })

for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'who am I?') continue
  const answer = await client.send(new GetCallerIdentityCommand({})).then(
    ({ Arn }) => ({ arn: Arn }),
    (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
  )
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
