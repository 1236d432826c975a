import { describe, expect, test } from 'vitest'

import { answerChallenges, isStale } from '../../../../agent/cameras/rtsp/authorization.ts'
import { parseChallenges } from '../../../../agent/cameras/rtsp/challenges.ts'

const mufasa = { username: 'Mufasa', password: 'Circle of Life' }

describe('the examples of the standards', () => {
  const example = {
    method: 'GET',
    url: '/dir/index.html',
    cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
  }
  const challenge = (algorithm: string): string =>
    `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=${algorithm}, ` +
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'

  test.for([
    ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
    ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
  ])('of RFC 7616, 3.9.1 with %s come out', ([algorithm = '', response = '']) => {
    expect(fields(authorize([challenge(algorithm)], { ...mufasa, ...example }))).toEqual({
      username: '"Mufasa"',
      realm: '"http-auth@example.org"',
      uri: '"/dir/index.html"',
      algorithm,
      nonce: '"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"',
      nc: '00000001',
      cnonce: '"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"',
      qop: 'auth',
      response: `"${response}"`,
      opaque: '"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
    })
  })

  test('of RFC 2617, 3.5 comes out', () => {
    const line =
      'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ' +
      'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    const found = authorize([line], { ...example, username: 'Mufasa', password: 'Circle Of Life', cnonce: '0a4f113b' })
    expect(fields(found)).toMatchObject({ response: '"6629fae49393a05397450978507c4ef1"', cnonce: '"0a4f113b"' })
    expect(fields(found)).not.toHaveProperty('algorithm')
  })

  test('of RFC 2069 (with its erratum) comes out, without qop', () => {
    const line = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c"'
    const found = authorize([line], { ...example, username: 'Mufasa', password: 'CircleOfLife' })
    expect(fields(found)).toMatchObject({ response: '"1949323746fe6a43ef61f9606e7febea"', opaque: '"5ccc069c"' })
    expect(Object.keys(fields(found))).not.toContain('nc')
    expect(Object.keys(fields(found))).not.toContain('cnonce')
  })

  test.for([
    ['Aladdin', 'open sesame', 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='],
    ['test', '123£', 'Basic dGVzdDoxMjPCow=='],
  ])('of RFC 7617 for %s comes out', ([username = '', password = '', expected]) => {
    expect(authorize(['Basic realm="WallyWorld"'], { ...example, username, password })).toBe(expected)
  })
})

describe('of several challenges', () => {
  const sha256 = 'Digest realm="r", nonce="n1", algorithm=SHA-256, qop="auth"'
  const md5 = 'Digest realm="r", nonce="n2", qop="auth"'
  const basic = 'Basic realm="r"'

  test.for([
    [[basic, md5, sha256], 'nonce="n1"'],
    [[`${basic}, ${md5}, ${sha256}`], 'nonce="n1"'],
    [[`Negotiate, ${sha256}, ${basic}`], 'nonce="n1"'],
    [[basic, `Bearer realm="x", ${md5}`], 'nonce="n2"'],
    [['Digest realm="r", nonce="n3", algorithm=SHA-512-256', basic], 'Basic '],
    [['Digest realm="r", nonce="n3", qop="auth-conf"', basic], 'Basic '],
    [['Digest realm="r", algorithm=SHA-256', md5], 'nonce="n2"'],
    [['NTLM TlRMTVNTUAAB==', basic], 'Basic '],
  ] as const)('the strongest that is known is answered: %j', ([lines, expected]) => {
    expect(authorize(lines, mufasa)).toContain(expected)
  })

  test.for([[], ['Negotiate'], ['Digest realm="r"'], ['Digest nonce="n", algorithm=constructor'], ['"', '=,=']])(
    'there is none in %j that can be answered',
    (lines) => {
      expect(answerChallenges(parseChallenges(lines), mufasa)).toBeUndefined()
    },
  )

  test('Basic is not answered for a user name with a colon, which would be read as another', () => {
    expect(answerChallenges(parseChallenges([basic]), { username: 'a:b', password: 'c' })).toBeUndefined()
  })
})

test('echoes what was quoted with its escapes, and hashes it without', () => {
  const header = authorize([String.raw`Digest realm="a \"b\" \\c", nonce="n\"1", opaque="o\\"`], mufasa)
  const expected = String.raw`username="Mufasa", realm="a \"b\" \\c", nonce="n\"1", uri="rtsp://cam/1", response="7b01753b52a9ff6faf7a75eb1e2ab73d", opaque="o\\"`
  expect(header).toBe(`Digest ${expected}`)
})

test('sends a user name with quotes as one value', () => {
  const header = authorize(['Digest realm="r", nonce="n"'], { ...mufasa, username: String.raw`a" x="\ ` })
  expect(header).toContain(String.raw`Digest username="a\" x=\"\\ ", realm="r"`)
})

test.for([
  ['MD5-sess', '"a35adc016fcaea7b19e96a3c2ae722da"'],
  ['SHA-256-sess', '"8ee41f4e24b1c72474df7a0e9f40002df34ddcfef8467523c6a87b0679b3293d"'],
])('binds the secret to nonce and cnonce for %s', ([algorithm = '', response]) => {
  const line = `Digest realm="r", nonce="n", algorithm=${algorithm}, qop="auth"`
  expect(fields(authorize([line], { ...mufasa, cnonce: 'c' }))).toMatchObject({ algorithm, response, cnonce: '"c"' })
})

test('answers auth-int where there is no auth, for a request without a body', () => {
  const found = fields(authorize(['Digest realm="r", nonce="n", qop="auth-int"'], { ...mufasa, cnonce: 'c' }))
  expect(found).toMatchObject({ qop: 'auth-int', response: '"5e252be9b51f200f234ac5aceff893b9"' })
})

test('hashes and sends the bytes of UTF-8, and of the realm those that came', () => {
  const realm = Buffer.from('Küche', 'utf8').toString('latin1')
  const found = authorize([`Digest realm="${realm}", nonce="n"`], { username: 'Jürgen', password: 'pässword' })
  expect(Buffer.from(found, 'latin1').toString('utf8')).toContain('username="Jürgen", realm="Küche"')
  expect(fields(found)).toMatchObject({ response: '"9a34eaf2590f4d3bfc30504b9bb32f9c"' })
})

test('names a user other than in ASCII by RFC 5987 to a camera that says it reads UTF-8, in normal form', () => {
  const line = 'Digest realm="r", nonce="n", charset=UTF-8'
  const found = authorize([line], { username: 'Ju\u0308rgen', password: 'x' })
  expect(fields(found)).toMatchObject({ 'username*': "UTF-8''J%C3%BCrgen" })
  expect(found).toBe(authorize([line], { username: 'J\u00fcrgen', password: 'x' }))
})

test('makes a new cnonce for every request', () => {
  const reply = answerChallenges(parseChallenges(['Digest realm="r", nonce="n", qop="auth"']), mufasa)
  const request = { method: 'DESCRIBE', url: 'rtsp://cam/1' }
  expect(reply?.authorization(request)).not.toBe(reply?.authorization(request))
})

test.for([
  ['Digest nonce="n", stale=true', true],
  ['Digest nonce="n", stale="TRUE"', true],
  ['Basic realm="x", Digest nonce="n", stale=true', true],
  ['Digest nonce="n", stale=false', false],
  ['Digest nonce="n", realm="stale=true"', false],
  ['Basic stale=true', false],
] as const)('reads of %j whether the nonce is stale', ([line, expected]) => {
  expect(isStale(parseChallenges([line]))).toBe(expected)
})

interface Asked {
  readonly username: string
  readonly password: string
  readonly method?: string
  readonly url?: string
  readonly cnonce?: string
}

function authorize(lines: readonly string[], asked: Asked): string {
  const { method = 'DESCRIBE', url = 'rtsp://cam/1', cnonce } = asked
  const reply = answerChallenges(parseChallenges(lines), asked)
  return reply?.authorization({ method, url, ...(cnonce === undefined ? {} : { cnonce }) }) ?? ''
}

/** As written, quotes included. Expects no comma in a value. */
function fields(header: string): Record<string, string> {
  const pairs = header.replace(/^Digest /, '').split(', ')
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
}
