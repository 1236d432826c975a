import { describe, expect, it } from 'vitest'

import { isForeignPage, portalSign } from '../../../agent/aws/captive-portal.ts'

const html = { 'content-type': 'text/html; charset=utf-8' }

describe('an answer to a request without TLS', () => {
  it.each([
    [200, html],
    [302, { location: 'http://login.hotel/?mac=aa:bb' }],
    [307, { location: 'https://portal.example:8443/start' }],
    [511, html],
  ])('is a portal: %i %j', (status, headers) => {
    expect(portalSign(status, headers)).toBeDefined()
  })

  it.each([
    [307, { location: 'https://aws.amazon.com/s3/', server: 'AmazonS3', 'x-amz-request-id': 'A' }],
    [301, { location: 'https://logs.us-west-2.amazonaws.com/' }],
    [403, { 'content-type': 'application/xml' }],
    [404, html],
    [503, html],
    [200, { ...html, 'x-amzn-requestid': 'A' }],
    [302, { location: '/relative' }],
    [302, { location: 'http://' }],
  ])('is none: %i %j', (status, headers) => {
    expect(portalSign(status, headers)).toBeUndefined()
  })

  it('is told by the host that it leads to, and by nothing behind that', () => {
    const location = 'http://login.hotel/?mac=aa:bb&token=s3cret'
    expect(portalSign(302, { location })).toEqual({
      what: 'requests are sent on to login.hotel (HTTP 302)',
      page: 'login.hotel',
    })
  })
})

it('takes a page for none of AWS when it has no id of a request', () => {
  expect(isForeignPage(html)).toBe(true)
  expect(isForeignPage({ ...html, 'x-amz-request-id': 'A' })).toBe(false)
  expect(isForeignPage({ 'content-type': 'application/x-amz-json-1.1' })).toBe(false)
})
