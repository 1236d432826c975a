import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { runCommand } from '../../test/support/run-command.ts'
import { bucket } from './static-s3.ts'

/** A program that syncs a prefix into a folder. */
export interface Peer {
  readonly name: string
  readonly command: (prefix: string, folder: string) => string
  readonly env?: Readonly<Record<string, string>>
}

const keys = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'bench' }

/** What is installed here of what people would use instead; says what is not. */
export async function peersHere(folder: string, port: number): Promise<readonly Peer[]> {
  const endpoint = `127.0.0.1:${port}`
  const awsConfig = join(folder, 'aws-config')
  const s3cmdConfig = join(folder, 's3cmd-config')
  await writeFile(awsConfig, '[default]\nregion = us-west-2\ns3 =\n  addressing_style = path\n')
  await writeFile(
    s3cmdConfig,
    `[default]\naccess_key = ${keys.AWS_ACCESS_KEY_ID}\nsecret_key = bench\nhost_base = ${endpoint}\nhost_bucket = ${endpoint}\nuse_https = False\n`,
  )
  const peers: readonly Peer[] = [
    {
      name: 'aws s3 sync',
      command: (prefix, target) =>
        `/usr/bin/aws --endpoint-url http://${endpoint} s3 sync s3://${bucket}/${prefix}/ ${target} --only-show-errors`,
      env: { ...keys, AWS_CONFIG_FILE: awsConfig, AWS_EC2_METADATA_DISABLED: 'true' },
    },
    {
      name: 's3cmd sync',
      command: (prefix, target) =>
        `s3cmd -c ${s3cmdConfig} --quiet --no-progress --no-check-md5 sync s3://${bucket}/${prefix}/ ${target}/`,
    },
    {
      name: 'rclone sync',
      command: (prefix, target) =>
        `rclone --config /dev/null --transfers 32 --checkers 32 --use-server-modtime sync bench:${bucket}/${prefix} ${target}`,
      env: {
        RCLONE_CONFIG_BENCH_TYPE: 's3',
        RCLONE_CONFIG_BENCH_PROVIDER: 'Other',
        RCLONE_CONFIG_BENCH_ENDPOINT: `http://${endpoint}`,
        RCLONE_CONFIG_BENCH_ACCESS_KEY_ID: keys.AWS_ACCESS_KEY_ID,
        RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY: keys.AWS_SECRET_ACCESS_KEY,
        RCLONE_CONFIG_BENCH_LIST_VERSION: '2',
        RCLONE_CONFIG_BENCH_NO_CHECK_BUCKET: 'true',
      },
    },
  ]
  const found = await Promise.all(peers.map(async (peer) => ((await isInstalled(peer)) ? [peer] : [])))
  return found.flat()
}

async function isInstalled({ name }: Peer): Promise<boolean> {
  const program = name.split(' ')[0] ?? ''
  const path = program === 'aws' ? '/usr/bin/aws' : program
  return await runCommand('sh', ['-c', `command -v ${path}`]).then(
    () => true,
    () => {
      console.log(
        `${program} is not installed here: left out (Debian's package ${program === 'aws' ? 'awscli' : program})`,
      )
      return false
    },
  )
}
