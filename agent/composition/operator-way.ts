import { Dialer } from '../aws/dialer.ts'
import { machineTrust } from '../aws/operator-handler.ts'
import { proxyFor } from '../network/proxy-for.ts'
import { proxySettings, type ProxyEnvironment } from '../network/proxy-settings.ts'

/**
 * The way to the cloud from an operator's machine: by the proxy of the environment, but for its exceptions. Throws an AgentError
 * when the environment names a proxy that is none.
 */
export function operatorDialer(environment: ProxyEnvironment = {}): Dialer {
  const settings = proxySettings({ noProxy: [] }, environment)
  return new Dialer({ proxyFor: (host, port) => proxyFor(host, port, settings), proxyTrust: machineTrust() })
}
