import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, chmod, chown, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'

import { freePort } from './free-port.ts'
import { tempFolder } from './temp-folder.ts'
import { waitUntil } from './wait-until.ts'

export interface SquidOptions {
  /** Of Basic. */
  readonly username: string
  readonly password: string
  /** Names that squid alone resolves, to 127.0.0.1. */
  readonly names: readonly string[]
  /** Speaks TLS itself, with this certificate and key in PEM. */
  readonly tls?: { readonly certificatePem: string; readonly privateKeyPem: string }
}

/** Debian's squid, which makes tunnels for who has the password. */
export interface Squid extends AsyncDisposable {
  readonly port: number
}

/** Tunnels come from here, and nothing else does. */
export const squidAddress = '127.0.0.2'

const binary = '/usr/sbin/squid'
const authenticator = '/usr/lib/squid/basic_ncsa_auth'
const usualUser = 'proxy'
const stopWithinMs = 5_000

/** Whether tests that need squid have to be left out, which is said in the output. */
export async function lacksSquid(what: string): Promise<boolean> {
  try {
    for (const file of [binary, authenticator]) await access(file)
    return false
  } catch {
    console.log(`skipped, because squid is not installed (apt-get install squid): ${what}`)
    return true
  }
}

export async function startSquid(options: SquidOptions): Promise<Squid> {
  await using resources = new AsyncDisposableStack()
  const { path: folder } = resources.use(await tempFolder())
  const { username, password, names, tls } = options
  const port = await freePort()
  const file = (name: string): string => join(folder, name)
  await writeFile(file('passwd'), passwordLine(username, password))
  await writeFile(file('hosts'), `127.0.0.1 ${names.join(' ')}\n`)
  await writeFile(file('squid.conf'), configuration(folder, { port, isTls: tls !== undefined }))
  if (tls !== undefined) await writeFile(file('tls.pem'), `${tls.certificatePem}\n${tls.privateKeyPem}`)
  if (process.getuid?.() === 0) await giveAway(folder)
  const squid = spawn(binary, ['-N', '-f', file('squid.conf')], { stdio: ['ignore', 'pipe', 'pipe'] })
  resources.defer(() => stop(squid))
  const output: string[] = []
  for (const stream of [squid.stdout, squid.stderr]) stream.on('data', (text: Buffer) => output.push(text.toString()))
  await waitUntil('squid takes connections', async () => {
    if (squid.exitCode !== null) throw new Error(`squid ended: ${output.join('')}`)
    return await accepts(port)
  })
  const owned = resources.move()
  return { port, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function configuration(folder: string, { port, isTls }: { readonly port: number; readonly isTls: boolean }): string {
  const listen = isTls ? `https_port 127.0.0.1:${port} tls-cert=${folder}/tls.pem` : `http_port 127.0.0.1:${port}`
  return [
    listen,
    'visible_hostname squid.test',
    'pid_filename none',
    'cache deny all',
    'cache_mem 4 MB',
    'coredump_dir none',
    'shutdown_lifetime 0 seconds',
    'pinger_enable off',
    'netdb_filename none',
    'max_filedescriptors 1024',
    `hosts_file ${folder}/hosts`,
    'dns_nameservers 127.0.0.1',
    `tcp_outgoing_address ${squidAddress}`,
    `auth_param basic program ${authenticator} ${folder}/passwd`,
    'auth_param basic children 1 startup=1',
    'auth_param basic credentialsttl 1 second',
    'acl CONNECT method CONNECT',
    'acl users proxy_auth REQUIRED',
    'http_access allow CONNECT users',
    'http_access deny all',
    'access_log none',
    `cache_log ${folder}/cache.log`,
    '',
  ].join('\n')
}

/** Squid's helper takes MD5 in hex, too. */
function passwordLine(username: string, password: string): string {
  return `${username}:${createHash('md5').update(password).digest('hex')}\n`
}

/** Started by root it becomes Debian's user for it, who has to reach its files. */
async function giveAway(folder: string): Promise<void> {
  const [uid = 0, gid = 0] = ['-u', '-g'].map((which) => Number(execFileSync('id', [which, usualUser]).toString()))
  await chmod(folder, 0o755)
  await chown(folder, uid, gid)
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function stop(squid: ChildProcess): Promise<void> {
  if (squid.exitCode !== null || squid.signalCode !== null) return
  const exited = once(squid, 'exit', { signal: AbortSignal.timeout(stopWithinMs) })
  squid.kill('SIGKILL')
  await exited
}
