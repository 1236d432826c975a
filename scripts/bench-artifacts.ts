import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

import { measuredRun, type Measured } from './bench-artifacts/measured-run.ts'
import { peersHere, type Peer } from './bench-artifacts/peers.ts'
import { accessPoint, bucket, etagOf, StaticS3, type Listed } from './bench-artifacts/static-s3.ts'
import { bundleForBench } from './bench-bundle.ts'
import { runCommand } from '../test/support/run-command.ts'

/**
 * Measures passes of the artifact sync against what people would use instead, and against curl with sha256sum as the
 * floor, all on the same static server in the same run. Prints figures and ratios; never fails on them. Needs nginx;
 * `--install` installs it and the peers from Debian, with nothing started.
 */
const { values } = parseArgs({
  options: {
    install: { type: 'boolean', default: false },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    ours: { type: 'boolean', default: false },
  },
})
const bigBytes = 1024 ** 3
const smallCount = 10_000
const smallBytes = 16 * 1024
const noopCount = 100_000
const noopBytes = 16
/** As the package's wrapper sets it. */
const memoryOptions = '--max-semi-space-size=1 --heap-growing-percent=100'

interface Row {
  readonly name: string
  readonly best: Measured
  readonly requests: number
}

interface Runner {
  readonly name: string
  readonly command: (folder: string) => string
  readonly env?: Readonly<Record<string, string>>
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
if (values.install) await install()
await using resources = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'panorama-bench-artifacts-'))
resources.defer(() => rm(folder, { recursive: true, force: true }))
const bundle = join(folder, 'one-pass.mjs')
await bundleForBench(join(import.meta.dirname, 'bench-artifacts', 'one-pass.ts'), bundle)
const server = resources.use(await StaticS3.start(join(folder, 'server')))
const peers = values.ours ? [] : await peersHere(folder, server.port)
const load = loadavg().map((each) => each.toFixed(1))
console.log(
  `${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}, load ${load.join(' ')}`,
)

if (values.only === '' || values.only === 'big') await benchBig()
if (values.only === '' || values.only === 'small') await benchSmall()
if (values.only === '' || values.only === 'noop') await benchNoop()

async function benchBig(): Promise<void> {
  await mkdir(join(server.folder, 'data', bucket, 'big'), { recursive: true })
  const object = await server.put('big/model.bin', randomBytes(bigBytes))
  await server.list('big', [object])
  const url = `http://127.0.0.1:${server.port}/${bucket}/${object.key}`
  await compare('one object of 1 GiB', 'big', {
    name: 'curl, then sha256sum',
    command: (target) => `curl -sf -o ${target}/model.bin ${url} && sha256sum ${target}/model.bin`,
  })
}

async function benchSmall(): Promise<void> {
  const objects: Listed[] = []
  await mkdir(join(server.folder, 'data', bucket, 'small'), { recursive: true })
  for (let index = 0; index < smallCount; index += 1) {
    objects.push(await server.put(`small/${String(index).padStart(6, '0')}`, randomBytes(smallBytes)))
  }
  await server.list('small', objects)
  const names = objects.map(({ key }) => key.slice('small/'.length))
  const list = join(folder, 'curl-small')
  const from = `http://127.0.0.1:${server.port}/${bucket}/small`
  await writeFile(list, names.map((name) => `url = ${from}/${name}\noutput = ${name}`).join('\n'))
  await compare(`${smallCount} objects of 16 KiB`, 'small', {
    name: 'curl -Z, then sha256sum',
    command: (target) =>
      `cd ${target} && curl -sf -Z --parallel-max 50 -K ${list} && find . -type f -print0 | xargs -0 sha256sum`,
  })
}

/** Everything is there already, and 100 pages of listing say so. */
async function benchNoop(): Promise<void> {
  const mtimeMs = Math.floor(Date.now() / 1000) * 1000 - 3_600_000
  const md5 = createHash('md5').update(Buffer.alloc(noopBytes)).digest('hex') // one with a dash would cost s3cmd a HEAD for each
  const objects = Array.from({ length: noopCount }, (_, index): Listed => {
    const name = String(index).padStart(6, '0')
    return { key: `noop/${name.slice(0, 3)}/${name}`, sizeBytes: noopBytes, mtimeMs, etag: `"${md5}"` }
  })
  await server.list('noop', objects)
  const tree = join(folder, 'noop-tree')
  for (const { key } of objects) {
    const path = join(tree, key.slice('noop/'.length))
    if (key.endsWith('000')) await mkdir(dirname(path), { recursive: true })
    await writeFile(path, Buffer.alloc(noopBytes))
    await utimes(path, mtimeMs / 1000, mtimeMs / 1000)
  }
  const state = join(folder, 'noop-state')
  await prepareState(state, objects)
  const ours = ourRunner('noop')
  await measuredRun(ours.command(state)) // installs what is there
  const pages = join(folder, 'curl-noop')
  const tokens = Array.from({ length: noopCount / 1000 }, (_, index) => String(index + 1).padStart(4, '0'))
  const url = `http://127.0.0.1:${server.port}/${bucket}/?list-type=2&prefix=noop/&continuation-token=`
  await writeFile(pages, tokens.map((token) => `url = "${url}${token}"\noutput = /dev/null`).join('\n'))
  const floor = { name: 'curl of the listing', command: () => `curl -sf -K ${pages}` }
  await compare(`nothing to do, ${noopCount} objects`, 'noop', floor, (name) => (name === ours.name ? state : tree))
}

/** An index that knows every object, and a store that has their contents, of which there are a few. */
async function prepareState(state: string, objects: readonly Listed[]): Promise<void> {
  const contents = Array.from({ length: 8 }, (_, index) => Buffer.alloc(noopBytes, index))
  const digests = contents.map((content) => createHash('sha256').update(content).digest('hex'))
  for (const [index, sha256] of digests.entries()) {
    const path = join(state, 'store/sha256', sha256.slice(0, 2), `${sha256}-0444`)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, contents[index] ?? '', { mode: 0o444 })
  }
  const entries = objects.map((object, index) => ({
    key: object.key,
    sizeBytes: object.sizeBytes,
    etag: etagOf(object),
    sha256: digests[index % digests.length],
  }))
  await writeFile(join(state, 'index.json'), JSON.stringify({ version: 1, objects: entries }))
}

function ourRunner(prefix: string): Runner {
  const options = `--endpoint http://s3.localhost:${server.port} --access-point ${accessPoint} --prefix ${prefix}/`
  const node = `${process.execPath} --disable-warning=ExperimentalWarning ${memoryOptions}`
  return { name: 'panorama-agent', command: (target) => `${node} ${bundle} ${options} --folder ${target}` }
}

async function compare(
  title: string,
  prefix: string,
  floor: Runner,
  folderFor?: (name: string) => string,
): Promise<void> {
  const durable = {
    name: `${floor.name}, sync`,
    command: (target: string) => `${floor.command(target)} && ${syncAll(target)}`,
  }
  const floors = folderFor === undefined ? [floor, durable] : [floor]
  const runners = [ourRunner(prefix), ...peers.map((peer) => peerRunner(peer, prefix)), ...floors]
  const rows: Row[] = []
  for (const runner of runners) {
    try {
      rows.push(await bestOf(runner, folderFor))
    } catch (error) {
      console.log(`  ${runner.name} failed: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const [ours] = rows
  console.log(`\n${title}: best of ${values.runs}; in brackets the ratio to panorama-agent`)
  for (const { name, best, requests } of rows) {
    const { wallSeconds, cpuSeconds, peakMiB } = best
    const wall = `${wallSeconds.toFixed(2)} s (${ratio(wallSeconds, ours?.best.wallSeconds)})`
    const cpu = `${cpuSeconds.toFixed(2)} s (${ratio(cpuSeconds, ours?.best.cpuSeconds)})`
    const peak = `${peakMiB.toFixed(0)} MiB (${ratio(peakMiB, ours?.best.peakMiB)})`
    const asked = `${requests} (${ratio(requests, ours?.requests)})`
    console.log(
      `  ${name.padEnd(30)} wall ${wall.padEnd(17)} CPU ${cpu.padEnd(17)} peak ${peak.padEnd(16)} requests ${asked}`,
    )
  }
}

async function bestOf(runner: Runner, folderFor?: (name: string) => string): Promise<Row> {
  const all: Measured[] = []
  let requests = 0
  for (let run = 0; run < Number(values.runs); run += 1) {
    const target = folderFor?.(runner.name) ?? (await mkdtemp(join(folder, 'target-')))
    await runCommand('sync', [])
    await server.takeRequests()
    all.push(await measuredRun(runner.command(target), runner.env))
    requests = await server.takeRequests()
    if (folderFor === undefined) await rm(target, { recursive: true, force: true })
  }
  const [best] = all.toSorted((left, right) => left.wallSeconds - right.wallSeconds)
  if (best === undefined) throw new Error('nothing was run')
  return { name: runner.name, best, requests }
}

/** What only the agent does of its own accord. */
function syncAll(target: string): string {
  return `find ${target} -print0 | xargs -0 sync`
}

function peerRunner({ name, command, env }: Peer, prefix: string): Runner {
  return { name, command: (target) => command(prefix, target), ...(env === undefined ? {} : { env }) }
}

function ratio(value: number, ours: number | undefined): string {
  return ours === undefined ? '-' : `x ${(value / ours).toFixed(2)}`
}

/** With a policy that starts nothing, and without recommendations. */
async function install(): Promise<void> {
  const packages = ['nginx-light', 'awscli', 's3cmd', 'rclone', 'curl']
  const script =
    'test -e /usr/sbin/policy-rc.d || { printf "#!/bin/sh\\nexit 101\\n" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }; ' +
    `DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${packages.join(' ')}`
  await runCommand('sh', ['-c', script], { withinMs: 600_000 })
}
