import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A server on 127.0.0.1 that answers a new connection only once it is woken, as over a link with a long way. */
export interface SlowServer extends AsyncDisposable {
  readonly port: number
  readonly wake: () => void
}

const backlog = 1
/** Linux lets in one connection more than the backlog says; what comes after has its SYN dropped, and sends it again. */
const fillers = backlog + 1
const program = `require('node:net').createServer((socket) => socket.on('error', () => undefined))
  .listen({ host: '127.0.0.1', port: 0, backlog: ${backlog} }, function () { console.log(this.address().port) })`

export async function startSlowServer(): Promise<SlowServer> {
  await using resources = new AsyncDisposableStack()
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  resources.defer(async () => {
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(line)
  child.kill('SIGSTOP')
  for (let count = 0; count < fillers; count += 1) resources.use(await connected(port))
  const owned = resources.move()
  return {
    port,
    wake: () => {
      child.kill('SIGCONT')
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function connected(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  await once(socket, 'connect')
  socket.on('error', () => undefined)
  return socket
}
